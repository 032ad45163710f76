"""Shares of apps that use one engine at the same time. Pure.

Rules: an app is measured by its running sequences, divided by its weight; a long prompt counts as
several while it is computed (`size`). The app that has least is protected: it continues as if
alone, and the others make a step at most `_DEARER` times as long as its own tokens take, beyond
the fair part of each; where all have as much, so does every prompt. Brief steps pay back
time beyond `1 + _PART` times. Its prompts come first in most of a step's budget for prompts, and
have half of a step's time beside others' answers. Source of max-min fairness: Bertsekas and
Gallager, Data Networks, 6.5.2.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as ReadOnly

from appliance.engine.pace import SHARE, Pace
from appliance.engine.sequence import Sequence

LONG = 128  # pending tokens of a prompt that count as one more sequence
_DEARER = 2.0
_PART = 0.67
_WAITED = 2.0  # owed for a step that had nothing of theirs
_MOST_S = 1.0  # owed; a process that was stopped meanwhile measures hours
_WORTH = 8  # prompt tokens; fewer cost nearly as much, since tiles multiply them apart
_FIRST = 0.875  # of the prompt tokens of a step; the others' prompts never stand still


def size(sequence: Sequence) -> int:
    """The short requests that a sequence counts as, by its remaining computation."""
    return max(1, sequence.pending // LONG)


def held(running: Iterable[Sequence]) -> dict[str, float]:
    """Each app's present share, divided by its weight."""
    found: dict[str, float] = {}
    for sequence in running:
        found[sequence.scope] = found.get(sequence.scope, 0.0) + size(sequence) / sequence.weight
    return found


class AppShares:
    """The apps of one step.

    Args:
        pace: None where the cost of steps is unknown, and no app is held back.
        brief: others have fair parts.
    """

    def __init__(
        self, running: ReadOnly[Sequence], pace: Pace | None, *, brief: bool = False
    ) -> None:
        self._pace, self.brief = pace, brief
        self._weights = {s.scope: s.weight for s in running}
        # One app alone shares with no other: most steps need no more.
        found = held(running) if len(self._weights) > 1 else dict.fromkeys(self._weights, 0.0)
        self._least = min(found.values(), default=0.0)
        self._protected = {app for app in found if found[app] <= self._least}
        self._alike = len(self._protected) == len(found)
        self.own = 0  # tokens of the protected apps' answers, where there are other apps
        if len(found) > 1:
            self.own = sum(s.generating and s.scope in self._protected for s in running)

    def _limit(self, prompt_tokens: int = 0) -> int | None:
        """Tokens of a step; None for any."""
        own = self.own + prompt_tokens
        if self._pace is None or not own:
            return None
        seconds = _DEARER * self._pace.cost(own)
        if self._alike:
            seconds = max(seconds, len(self._weights) * self._pace.cost(1))
        return self._pace.within(seconds)

    def answers(self, generating: list[Sequence]) -> list[Sequence]:
        """The answers that the step continues, in the order given."""
        limit = self._limit()
        if limit is None or self._alike:
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
        fair.update(rest[: 0 if self.brief else max(0, limit - len(fair))])
        return [s for s in generating if s in fair]

    def limited(
        self, prompts: ReadOnly[Sequence], planned: int, first: int = 0
    ) -> tuple[set[Sequence], int]:
        """The prompts that may not lengthen a step much, and their tokens together, beside
        `planned` tokens of answers and `first` of protected prompts.
        """
        limit = self._limit(first)
        if limit is None:
            return set(), 0
        rest = {s for s in prompts if self._alike or s.scope not in self._protected}
        if self.brief and planned + first:
            return rest, 0
        return rest, max(_WORTH, limit - planned - first)

    def owed(self, before: float, seconds: float, first: int) -> float:
        """Seconds to pay back, after a step with `first` tokens of protected prompts."""
        if self._pace is None:
            return 0.0
        tokens = self.own + first
        if self.brief and tokens:
            return max(0.0, before - seconds)
        if not tokens:
            return min(_MOST_S, _WAITED * seconds)
        own = self._pace.cost(tokens)
        return min(_MOST_S, max(0.0, (seconds - own) / _PART - own))

    def dearer(self, prompts: ReadOnly[Sequence]) -> float:
        """Factor by which a step with these prompts may exceed one of its answers' own tokens."""
        return _DEARER if self.first(prompts, 0)[0] else SHARE

    def first(self, prompts: ReadOnly[Sequence], tokens: int) -> tuple[list[Sequence], int]:
        """The prompts that come before others, and how many of a step's prompt tokens they get."""
        if self._alike:
            return [], 0
        before = [s for s in prompts if s.scope in self._protected]
        return before, round(tokens * _FIRST)
