"""The command line: measure the audit log and merge it into the results.

usage: python -m benchmarks.audit [--rows N] [--repeat K] [--seconds S] [--log DIRECTORY]

`--log` is a log made before by `benchmarks.audit.large`.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks import machine
from benchmarks.__main__ import keep
from benchmarks.audit.large import build
from benchmarks.audit.peer import interpreter
from benchmarks.audit.reading import pages, proof_path_bytes, verification
from benchmarks.audit.writer import measured, shim, unsigned_after_kill
from benchmarks.results import Entry, Figure
from benchmarks.statistics import Summary, quantile, ratios
from installer.bundle.steps import say

SYNC_US: Final = 4_000
SIDES: Final = ("raw", "1", "16", "64")
PEER: Final = "pymerkle"
VERIFIED: Final = 1_000_000
Runs: TypeAlias = dict[str, list[float]]


def writing(
    repeat: int, seconds: float, place: Path
) -> tuple[list[Figure], dict[str, list[float]]]:
    """Goals G2 to G4 and G7, in random order within each repetition."""
    library, dice = shim(place), random.Random(7)
    peer = interpreter()
    who = {side: side for side in SIDES} | ({PEER: str(peer)} if peer else {})
    rates: dict[str, list[float]] = {side: [] for side in who}
    waits: dict[str, list[float]] = {side: [] for side in who}
    for number in range(repeat):
        for side in dice.sample([*who], len(who)):
            found = measured(who[side], seconds, library, SYNC_US)
            rates[side].append(found["rows_s"])
            waits[side].append(found["p50_ms"])
        say(f"  {number + 1}: " + ", ".join(f"{s} {rates[s][-1]:.0f}/s" for s in who))
    raw = Summary.of(rates["raw"])
    figures = [
        Figure(
            f"G3 rows/s of {side} clients to a bare synced INSERT, +4 ms", "rows/s",
            Summary.of(ratios(rates[side], rates["raw"])), Summary.of(rates[side]), raw, "≥", goal,
        )
        for side, goal in (("1", 1.0), ("16", 8.0), ("64", 25.0))
    ]  # fmt: skip
    if peer:
        other = Summary.of(rates[PEER])
        figures.append(
            Figure(
                "G4 rows/s of 64 clients to pymerkle's SqliteTree, +4 ms", "rows/s",
                Summary.of(ratios(rates["64"], rates[PEER])), Summary.of(rates["64"]),
                other, "≥", 60.0,
            )
        )  # fmt: skip
    left = Summary.of([float(unsigned_after_kill(place / f"killed{n}")) for n in range(repeat)])
    figures.append(
        Figure("G7 durable entries that no head covers, after SIGKILL with 16 clients", "entries",
               left, left, relation="≤", target=0.0)
    )  # fmt: skip
    wait = Summary.of(waits["1"])
    figures.append(
        Figure("G2 wait for one receipt, p50, +4 ms", "ms", wait, wait, relation="≤", target=10.0)
    )
    return figures, {**rates, **{f"p50 ms {side}": found for side, found in waits.items()}}


def reading(directory: Path, rows: int, repeat: int) -> tuple[list[Figure], Runs]:
    """Goals G5 and G6, and search."""
    checks = [verification(directory, min(VERIFIED, rows) - 2) for _ in range(repeat)]
    verified, scanned = ([c[side] for c in checks] for side in ("verify", "scan"))
    slowest: list[float] = []
    runs: dict[str, list[float]] = {"verify": verified, "scan": scanned}
    for _ in range(repeat):
        found = pages(directory, rows)
        slowest.append(max(quantile(times, 0.95) for times in found.values()))
        for name, times in found.items():
            runs.setdefault(f"ms {name}", []).extend(times)
    path = Summary.of([float(proof_path_bytes(directory, rows))])
    ours, other = Summary.of(verified), Summary.of(scanned)
    return [
        Figure("G5 entries verified a second", "rows/s", ours, ours, relation="≥", target=150_000),
        Figure("G5 verification to a plain scan", "rows/s", Summary.of(ratios(verified, scanned)),
               ours, other, "≥", 0.25),
        Figure(f"G6 hashes of an inclusion proof in {rows:,} entries", "B", path, path,
               relation="≤", target=1_024),
        Figure(f"one page of a search over {rows:,} entries, the slowest kind's p95", "ms",
               Summary.of(slowest), Summary.of(slowest), relation="≤", target=200.0),
    ], runs  # fmt: skip


def main() -> int:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as name:
        place = Path(name)
        figures, runs = writing(options.repeat, options.seconds, place)
        directory = options.log or build(place / "log", options.rows)
        read, more = reading(directory, options.rows, options.repeat)
        entry = Entry(
            check="P12-audit-log",
            model="-",
            title="the audit log by itself",
            when=machine.today(),
            commit=machine.commit(),
            machine=machine.machine(place),
            repeat=options.repeat,
            seconds=time.monotonic() - begun,
            figures=[*figures, *read],
            runs=[{**runs, **more}],
            notes=[f"syncs delayed by {SYNC_US} us (slow.c); {options.rows:,} entries to read"],
        )
    keep(entry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
