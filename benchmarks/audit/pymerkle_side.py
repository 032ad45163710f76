"""Entries a second of pymerkle's SqliteTree (G4), in an environment that has pymerkle
(offline-wheels/lock-bench.txt) and nothing of the product. One connection, one synced transaction
an
entry: more clients would wait.

usage: python pymerkle_side.py DIRECTORY SECONDS
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Print one measurement."""
    from pymerkle import SqliteTree  # type: ignore[import-not-found]

    directory, seconds = Path(sys.argv[1]), float(sys.argv[2])
    directory.mkdir()
    tree = SqliteTree(str(directory / "tree.db"))
    body, rows = os.urandom(700), 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        tree.append_entry(body)
        rows += 1
    took = time.perf_counter() - begun
    sys.stdout.write(json.dumps({"rows_s": rows / took, "p50_ms": took / rows * 1e3}) + "\n")


if __name__ == "__main__":
    main()
