"""How apps share an engine that several of them use at once.

Rules: an app is measured by its running sequences, divided by its weight. The app that has least
is protected: its answers and prompts go on as if it were alone, and the other apps together make
a step at most `_DEARER` times as long as its own tokens take, though each of them gets its fair
part in any case; of what a step has for prompts, most goes to its prompts first, which have half
of a step's time beside the answers of others. Max-min fairness (Bertsekas and Gallager, Data
Networks, 6.5.2) of the time of a step, not of requests: where batching is nearly free, no app is
held back. Pure.
"""

from collections import Counter
from collections.abc import Sequence as ReadOnly

from appliance.engine.pace import SHARE, Pace
from appliance.engine.sequence import Sequence

_DEARER = 2.0
_FIRST = 0.875  # of the prompt tokens of a step; the others' prompts never stand still


class AppShares:
    """The apps of one step.

    Args:
        running: what runs, of all apps.
        pace: what steps cost; None where that is unknown, and no app is held back.
    """

    def __init__(self, running: ReadOnly[Sequence], pace: Pace | None) -> None:
        self._weights = {s.scope: s.weight for s in running}
        self._counts = Counter(s.scope for s in running)
        self._least = min(map(self._held, self._counts), default=0.0)
        self._protected = {a for a in self._counts if self._held(a) <= self._least}
        self._limit: int | None = None
        own = sum(s.generating and s.scope in self._protected for s in running)
        if pace is not None and own and len(self._protected) < len(self._counts):
            self._limit = pace.within(_DEARER * pace.cost(own))

    def answers(self, generating: list[Sequence]) -> list[Sequence]:
        """The running answers that the step continues, in the order given."""
        if self._limit is None:
            return generating
        fair, rest = set[Sequence](), list[Sequence]()
        taken = Counter[str]()
        for sequence in sorted(generating, key=lambda s: s.served):
            app = sequence.scope
            taken[app] += 1
            part = max(1, round(self._least * self._weights[app]))
            if app in self._protected or taken[app] <= part:
                fair.add(sequence)
            else:
                rest.append(sequence)
        fair.update(rest[: max(0, self._limit - len(fair))])
        return [s for s in generating if s in fair]

    def limited(self, prompts: ReadOnly[Sequence], planned: int) -> tuple[set[Sequence], int]:
        """The prompts that may not lengthen a step of `planned` tokens much, and their tokens."""
        if self._limit is None:
            return set(), 0
        rest = {s for s in prompts if s.scope in self._counts and s.scope not in self._protected}
        return rest, max(1, self._limit - planned)

    def dearer(self, prompts: ReadOnly[Sequence]) -> float:
        """How many times as long as its answers' own tokens a step with these prompts may take."""
        return _DEARER if self.first(prompts, 0)[0] else SHARE

    def first(self, prompts: ReadOnly[Sequence], tokens: int) -> tuple[list[Sequence], int]:
        """The prompts that come before others, and how many of a step's prompt tokens they get."""
        if len(self._protected) == len(self._counts):
            return [], 0
        before = [s for s in prompts if s.scope in self._protected]
        return before, round(tokens * _FIRST)

    def _held(self, app: str) -> float:
        return self._counts[app] / self._weights[app]
