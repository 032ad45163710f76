"""Prompts that meet an idle engine begin to answer together, since answers slow the other prompts
down. Pure.

Rules: while no answer runs, a prompt that is done but for its last tokens waits for the others of
its app that are at most twice as long, and for no more than `TOGETHER` tokens, no matter what
arrives. Who was preempted neither waits nor is waited for.
"""

from collections.abc import Sequence as ReadOnly

from appliance.engine.sequence import Sequence

TOGETHER = 2048  # tokens computed before the first answer: a batch of llama-server
LAST = 2  # tokens that stay pending; with one, a sequence counts as answering
_LONGER = 2


class Burst:
    """Progress of the prompts since the last answer ended."""

    def __init__(self) -> None:
        self._computed = 0

    def waiting(self, running: ReadOnly[Sequence]) -> frozenset[Sequence]:
        if not running or any(s.generating for s in running):
            self._computed = 0
        elif self._computed < TOGETHER:
            return frozenset(s for s in running if any(_waits(s, other) for other in running))
        return frozenset()

    def record(self, tokens: int) -> None:
        self._computed += tokens


def _waits(sequence: Sequence, other: Sequence) -> bool:
    return (
        sequence.labels is None  # it writes no answer that would be slow
        and other.pending > LAST
        and other is not sequence
        and not (sequence.preempted or other.preempted)
        and (other.scope, other.adapter) == (sequence.scope, sequence.adapter)
        and _length(other) <= _LONGER * _length(sequence)
    )


def _length(sequence: Sequence) -> int:
    """Tokens of the prompt that the cache did not have."""
    return sequence.known - (sequence.reused or 0)
