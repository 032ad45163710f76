"""The cost of copying, hashing and sealing a file, over SHA-256 alone; at most 2.5 times.

usage: python -m tests.trust.seal_cost [MIB]

Prints one line of JSON; docs/trust.md quotes it.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from appliance.trust.bytes import sealed

ROUNDS = 5


def hashed(path: Path) -> float:
    begun = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    try:
        sealed.read_blocks(fd, path.name, lambda block: None, lambda count: None)
    finally:
        os.close(fd)
    return time.perf_counter() - begun


def seal(path: Path) -> float:
    begun = time.perf_counter()
    sealed.seal_and_close(os.open(path, os.O_RDONLY), path.name).close()
    return time.perf_counter() - begun


def main(mib: int) -> None:
    """Measure a file of random bytes in the page cache; the best of some rounds each."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = Path(directory) / "model"
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        pairs = []
        for _ in range(ROUNDS):
            path.read_bytes()  # sealing drops it from the page cache
            alone = hashed(path)
            path.read_bytes()
            pairs.append((alone, seal(path)))
    alone, whole = min(a for a, _ in pairs), min(w for _, w in pairs)
    told = {
        "mib": mib,
        "sha256_mib_s": round(mib / alone),
        "seal_mib_s": round(mib / whole),
        "ratio": round(whole / alone, 2),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
