"""P3: long and short prompts that arrive at 70 % of what the peer can take."""

import itertools

from benchmarks.loads import Ask, mixed, poisson
from benchmarks.measure import drive, load_of, summarise
from benchmarks.results import Figure
from benchmarks.session import Session, compare

_REQUESTS = 28
_CAPACITY_REQUESTS = 20
_SHARE = 0.7
_OTHER_PROMPTS = 1000  # a number that no repetition has


def arrivals(session: Session) -> list[Figure]:
    """Measure the peer's capacity on this mix, then both sides at the same arrival times."""
    rate = _SHARE * _capacity(session)
    session.notes.append(f"{rate:.3f} requests per second arrive, 70 % of the peer's capacity")
    count = session.count(_REQUESTS)
    runs = session.alternate(lambda repetition, _: poisson(rate, count, repetition), "poisson")
    return [
        compare("p99 gap between tokens", "ms", "gap_p99", runs, relation="≤", target=0.5),
        compare("p50 time to first token", "ms", "ttft_p50", runs, relation="≤", target=0.8),
        compare("p99 time to first token", "ms", "ttft_p99", runs, relation="≤", target=0.8),
    ]


def _capacity(session: Session) -> float:
    """With 8 requests always under way."""
    bodies = itertools.islice(mixed(_OTHER_PROMPTS), session.count(_CAPACITY_REQUESTS))
    with session.serving("peer") as server:
        run = summarise("peer", drive(load_of(server, [Ask(body) for body in bodies])))
    session.record(0, "capacity", run)
    return run.requests_s
