"""P1 and P2: generated tokens per second, prompts apart and behind one prefix."""

from benchmarks.loads import independent, shared
from benchmarks.results import Figure
from benchmarks.session import Session, compare

_REQUESTS = 32


def indep(session: Session) -> list[Figure]:
    """P1: 32 prompts of 128 words that share nothing, 64 tokens out, 8 at a time."""
    count = session.count(_REQUESTS)
    runs = session.alternate(lambda repetition, _: independent(count, repetition), "indep")
    target = {"smollm2": 1.8}.get(session.model, 1.5)
    return [
        compare(
            "generated tokens per second", "tok/s", "tokens_s", runs, relation="≥", target=target
        ),
        compare("p99 gap between tokens", "ms", "gap_p99", runs, relation="≤", target=1.2),
        compare("p50 gap between tokens", "ms", "gap_p50", runs),
        compare("p50 time to first token", "ms", "ttft_p50", runs),
    ]


def prefix(session: Session) -> list[Figure]:
    """P2: 1,000 words in common and 16 of their own, 32 tokens out, one app."""
    count = session.count(_REQUESTS)
    runs = session.alternate(lambda repetition, _: shared(count, repetition), "shared")
    return [
        compare("generated tokens per second", "tok/s", "tokens_s", runs, relation="≥", target=8.0),
        compare("p50 time to first token", "ms", "ttft_p50", runs),
        compare("p99 gap between tokens", "ms", "gap_p99", runs),
    ]
