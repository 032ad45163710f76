"""Coverage-guided fuzzing of the GGUF parser, with `modelvet` beside it as an oracle.

usage: python tests/fuzz/gguf_target.py CORPUS_DIR SEED_DIR [libFuzzer options]

Runs in the oracle environment (`tests/oracle.py`), which has atheris and modelvet and not the
product's dependencies; only `appliance.trust.gguf.gguf` and what it needs is imported. A finding
ends the run: any exception but GgufRejected, or a file that we accept and modelvet rejects for a
reason that `tests/fuzz/README.md` does not argue.
"""

import random
import struct
import sys
from typing import Any

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
import modelvet  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["appliance.trust"]):
    from appliance.trust.gguf import gguf

from appliance.errors import GgufRejected

EDGES = [
    base + delta
    for base in (
        0,
        1,
        32,
        64,
        256,
        1024,
        8192,
        1 << 16,
        1 << 20,
        1 << 31,
        1 << 32,
        1 << 63,
        1 << 64,
    )
    for delta in (-4, -3, -1, 0, 1)
]
KINDS = range(14)
ARGUED: frozenset[str] = frozenset()
"""Violations for which modelvet rejects what we accept; each needs an argument in the README."""


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own mutation, or a number or a type written where a GGUF file has one."""
    chance = random.Random(seed)
    if chance.random() < 0.5 or len(data) < 24:
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(4, len(out) - 8)
        how = chance.randrange(5)
        if how == 0:
            out[place : place + 8] = struct.pack("<Q", chance.choice(EDGES) % (1 << 64))
        elif how == 1:
            out[place : place + 4] = struct.pack("<I", chance.choice(EDGES) % (1 << 32))
        elif how == 2:
            out[place : place + 4] = struct.pack("<I", chance.choice(KINDS))
        elif how == 3:
            out[place] = (out[place] + chance.choice((-1, 1, 32, 128))) % 256
        else:  # a piece of the file again, as a duplicate key or tensor is
            size = chance.randrange(1, 64)
            out[place:place] = out[place - min(place, size) : place]
    return bytes(out[:max_size])


def one(data: bytes) -> None:
    try:
        gguf.vet(data)
    except GgufRejected:
        return
    report = modelvet.verify_gguf(data)
    if not report.accepted and report.violation_name not in ARGUED:
        raise AssertionError(f"accepted here, rejected by modelvet: {report.violation_name}")


def main(arguments: list[Any]) -> None:
    """libFuzzer ends the process."""
    atheris.Setup(arguments, one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
