"""P10: memory that requests leave behind."""

from benchmarks.loads import independent
from benchmarks.machine import resident
from benchmarks.measure import drive, load_of, summarise
from benchmarks.results import Figure
from benchmarks.session import Session
from benchmarks.statistics import Summary

_MIB = 1 << 20
_FIRST, _LAST = 1_000, 10_000


def memory(session: Session) -> list[Figure]:
    """Resident memory of server and worker after 10,000 short requests over that after 1,000."""
    first, last = session.count(_FIRST), session.count(_LAST)
    sizes = []
    with session.serving("ours") as server:
        for number, count in enumerate((first, last - first)):
            asks = independent(count, number, prompt=2, answer=1)
            run = summarise("ours", drive(load_of(server, asks, concurrency=16)))
            session.record(number, "tiny", run)
            sizes.append(resident(server.pids()) / _MIB)
    session.notes.append("one run: what it looks for is a trend over requests")
    return [
        Figure(
            f"resident memory after {last} requests / after {first}",
            "MiB",
            Summary.of([sizes[1] / sizes[0]]),
            Summary.of(sizes[1:]),
            Summary.of(sizes[:1]),
            "≤",
            1.02,
        )
    ]
