"""Tokens over time, from answers whose only count is at their end.

Rule: the tokens that `usage` reports for an answer are spread evenly over its pieces of text; an
answer that was cut counts one token a piece, which is what both servers send without a schema.
"""

from collections.abc import Sequence

from benchmarks.generator import Answer

WINDOW_S = 0.25


def arrivals(answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """Moments and tokens, in order."""
    found: list[tuple[float, float]] = []
    for answer in answers:
        pieces = len(answer.stamps)
        each = answer.completion_tokens / pieces if pieces and answer.ended else 1.0
        found.extend((stamp, each) for stamp in answer.stamps)
    return sorted(found)


def rate(moments: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Tokens per second in [begin, end)."""
    return sum(tokens for at, tokens in moments if begin <= at < end) / (end - begin)


def windows(moments: Sequence[tuple[float, float]], begin: float, end: float) -> list[float]:
    """Tokens per second in consecutive windows of 250 ms."""
    counts = [0.0] * int((end - begin) / WINDOW_S)
    for at, tokens in moments:
        index = int((at - begin) / WINDOW_S)
        if 0 <= index < len(counts):
            counts[index] += tokens
    return [count / WINDOW_S for count in counts]
