#!/usr/bin/env python3
"""Which entry of the log names a result: one file, Python's standard library, nothing else.

    verify_result.py DIRECTORY FILE...

DIRECTORY is what `appliance audit export --format tiles` wrote. Verify it first, with
`verify_export.py`: this program reads its entries and checks nothing of the log. Each FILE is a
result as `appliance job result ID --out FILE` or `appliance advise --result FILE` wrote it. Exit: 0
each is named, 1 one is not, 2 usage.

An entry names a result by its SHA-256: `job_end` when an evaluation, a gate, a calibration, a
tuning or other long work is done; `admin` with the action `advice` when the advisor answers. That
an entry names a result proves that the appliance came to it then, and that it is unchanged since.
It does not prove that the result is right: the certificates of gates are computed again by
`verify_certificate.py`.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any


def entries(directory: Path) -> list[dict[str, Any]]:
    """The entries of an export, the oldest first. Raises OSError, ValueError."""
    place = directory / "tile" / "entries"
    found = []
    for path in (path for path in place.rglob("*") if path.is_file()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            found.append(json.loads(data[at + 2 : at + 2 + length]))
            at += 2 + length
    if not found:
        raise ValueError("it has no entries")
    return sorted(found, key=lambda body: int(body["seq"]))


def named(bodies: list[dict[str, Any]]) -> dict[str, str]:
    """By digest, the entry that names each result."""
    found = {}
    for body in bodies:
        digest, seq = str(body.get("result_sha256", "")), body["seq"]
        if body["kind"] == "job_end" and body["state"] == "done":
            found[digest] = f"the result of job {body['job']} ({body['work']}), entry {seq}"
        elif body["kind"] == "admin" and body["action"] == "advice":
            found[digest] = f"the advice on {body['task']}, entry {seq}"
    return found


def main(arguments: list[str]) -> int:
    """The command line."""
    if len(arguments) < 2:
        print(__doc__)
        return 2
    try:
        known = named(entries(Path(arguments[0])))
        digests = {name: sha256(Path(name).read_bytes()).hexdigest() for name in arguments[1:]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"A file cannot be read (result_unreadable): {error}.")
        return 1
    for name, digest in digests.items():
        print(f"{name} is {known.get(digest, 'named by NO entry of the log (result_unknown)')}.")
    return 0 if known.keys() >= set(digests.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
