"""Evidence of a task: the one reader of evaluations and of certificates of gates and routes.

Rules:
- An interval that chose between candidates is flattered: `Quality.together` has limits that hold
  for all of them. Sealed items outrank open ones.
- Where people answer, they are right as often as they agree with each other.
- A value that is not measured is missing and never guessed.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from appliance.evals.baselines import LINEAR, MAJORITY
from appliance.statistics.proportions import corrected, trials
from appliance.trust.statements import evaluation, route
from appliance.trust.statements.specification import MILLION
from appliance.wire.admin.results import EvaluationResult

_AT_N: Final = re.compile(rf"{LINEAR}, n=([\d,]+)$")


@dataclass(frozen=True)
class Quality:
    """A measured share of right answers, with its interval and the groups it rests on.

    Attributes:
        confidence: of the interval, which has two sides.
        sealed: of items that chose nothing.
    """

    value: float
    low: float
    high: float
    groups: int
    confidence: float = 0.95
    sealed: bool = False

    def together(self, tried: int, delta: float) -> "Quality":
        """With limits that hold for all `tried` candidates, but with `delta` each (Bonferroni)."""
        limit = max(0.0, self.low) if self.low < self.value else min(1.0, self.high)
        if self.sealed or limit == self.value:
            return self
        size = trials(self.value, limit, self.confidence)
        level = 1 - 2 * delta / max(1, tried)
        low, high = corrected(min(self.value * size, size), size, level)
        return replace(self, low=low, high=high, confidence=level)


class Contender(msgspec.Struct, frozen=True):
    """A measured candidate."""

    name: str
    kind: str
    quality: float
    interval: tuple[float, float]
    groups: int
    documents_s: float = 0.0
    p95_s: float | None = None
    model: str | None = None
    memory_bytes: int = 0
    joules: float | None = None
    confidence: float = 0.95
    sealed: bool = False

    @property
    def measured(self) -> Quality:
        return Quality(self.quality, *self.interval, self.groups, self.confidence, self.sealed)


class TaskEvidence(msgspec.Struct, frozen=True):
    """Evaluations and gates of a task.

    Attributes:
        candidate: name of the task's own candidate; None where it was not measured.
        label_agreement: of two labels of one text; None where no text has two.
        gate_groups: sealed groups of the newest gate; 0 without one.
    """

    task: str = ""
    candidate: str | None = None
    candidates: tuple[Contender, ...] = ()
    label_agreement: float | None = None
    digests: dict[str, str] = {}
    gate_groups: int = 0

    @property
    def rivals(self) -> tuple[Contender, ...]:
        """All but the commonest answer."""
        return tuple(each for each in self.candidates if each.name != MAJORITY)

    @property
    def own(self) -> Contender | None:
        return next((each for each in self.candidates if each.name == self.candidate), None)

    @property
    def groups(self) -> int:
        return max(min((each.groups for each in self.rivals), default=0), self.gate_groups)

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """The learning curve of the battery's regressions: items and quality, ascending."""
        found = ((_AT_N.match(each.name), each.quality) for each in self.candidates)
        return tuple(sorted((int(at[1].replace(",", "")), value) for at, value in found if at))


def of_evaluation(result: EvaluationResult) -> TaskEvidence:
    """The evidence of one evaluation."""
    return msgspec.convert(result.document, TaskEvidence)


def with_gate(known: TaskEvidence, newest: evaluation.GateCertificate, needs: str) -> TaskEvidence:
    """Add the newest gate's findings; speed stays as measured.

    Args:
        needs: the model of the task's candidate; "" for a classifier only.
    """
    found, wanted = newest.found, newest.wanted
    known = msgspec.structs.replace(known, gate_groups=found.groups)
    if not found.quality:  # an older version told none
        return known
    value, low, high = (found.quality[name] / MILLION for name in ("value", "low", "high"))
    before = known.own or Contender(
        wanted.task, "model" if needs else "own", value, (low, high), 0, model=needs or None
    )
    sealed = msgspec.structs.replace(
        before,
        quality=value,
        interval=(low, high),
        groups=found.groups,
        confidence=1 - 2 * wanted.alpha_of(newest.circumstances.look),
        sealed=True,
    )
    others = (each for each in known.candidates if each is not before)
    return msgspec.structs.replace(known, candidate=before.name, candidates=(*others, sealed))


@dataclass(frozen=True)
class CertifiedRoute:
    """A route's certificate.

    Attributes:
        coverage: share of the groups that the first stage answers.
        bound: proved largest share of wrong answers there; the chosen threshold's limit is less and
            proves nothing.
        low: lower limit of route minus second stage; None without one.
    """

    route: str
    id: str
    larger: str
    coverage: float
    bound: float
    groups: int
    rest: Literal["people", "larger"]
    low: float | None = None


def of_route(signed: route.RouteCertificate) -> CertifiedRoute:
    """Read a route's certificate."""
    wanted, found = signed.wanted, signed.found
    return CertifiedRoute(
        route=wanted.route,
        id=signed.id,
        larger=wanted.larger,
        coverage=found.coverage_micros / MILLION,
        bound=wanted.error_micros / MILLION,
        groups=found.groups,
        rest=found.doubtful,
        low=None if found.low_micros is None else found.low_micros / MILLION,
    )
