"""Measurements of this appliance: known options, arrivals of the log, the host.

Rules: an unmeasured value is missing and never guessed; a cascade has at least the quality of its
certificate.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from appliance.advisor.questions import Questions
from appliance.evals.evidence_reader import CertifiedRoute, Contender, Quality, TaskEvidence

OPTIONS: Final = ("baseline", "prompt", "retrieval", "tuned", "cascade", "larger", "upstream")
"""Options that answer within the network, the simplest first."""
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True)
class OptionMeasured:
    """One option as measured.

    Attributes:
        option: one of `OPTIONS`, or `cloud`.
        seconds: that 95 of 100 answers take.
        joules: of the host's processors for a document; None: unknown.
        coverage: share that a cascade answers itself.
        rest: `people`, or `larger`, a larger stage, answers the rest.
        bound: largest share of wrong answers by its certificate; None without one.
    """

    option: str
    name: str
    quality: Quality | None = None
    documents_s: float | None = None
    seconds: float | None = None
    memory: int = 0
    coverage: float | None = None
    source: str = ""
    joules: float | None = None
    rest: Literal["people", "larger"] = "people"
    bound: float | None = None
    certificate_groups: int = 0


@dataclass(frozen=True)
class RequestTimes:
    """Arrival of requests.

    Attributes:
        busiest_hour: most requests within one hour of the clock.
        utilisation: share of the time in which at least one was answered.
    """

    requests: int
    days: float
    busiest_hour: int
    at_once: int
    utilisation: float

    @property
    def requests_day(self) -> float:
        return self.requests / max(self.days, 1.0)


@dataclass(frozen=True)
class MeasuredFacts:
    """Everything that was measured here.

    Attributes:
        groups: independent groups of the evidence.
        tried: candidates measured on the same open items.
        agreement: of two labels of one text; None: unknown.
        curve: learning curve of the simplest classifier: items and quality, ascending.
        host_memory: bytes.
    """

    task: str = ""
    candidates: tuple[OptionMeasured, ...] = ()
    arrivals: RequestTimes | None = None
    groups: int = 0
    tried: int = 0
    examples: int | None = None
    agreement: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    host_memory: int = 0
    made_of: tuple[tuple[str, str], ...] = ()

    def candidate(self, option: str) -> OptionMeasured | None:
        return next((each for each in self.candidates if each.option == option), None)


def arrivals(answered: Iterable[tuple[int, int]]) -> RequestTimes | None:
    """From each answer's end and duration in microseconds; None without any."""
    spans = sorted((end - max(0, took), end) for end, took in answered)
    if not spans:
        return None
    hours: dict[int, int] = {}
    for start, _ in spans:
        hours[start // _HOUR_US] = hours.get(start // _HOUR_US, 0) + 1
    busy, until = 0, spans[0][0]
    for start, end in spans:
        busy += max(0, end - max(start, until))
        until = max(until, end)
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    whole = until - spans[0][0]
    return RequestTimes(
        len(spans), whole / _DAY_US, max(hours.values()), most, busy / whole if whole else 0.0
    )


def of_evidence(known: TaskEvidence, adapters: Sequence[str] = ()) -> MeasuredFacts:
    """Facts of a task from its evidence.

    Args:
        adapters: ids of tuned models; those of the form BASE:NAME are known to be.
    """
    return MeasuredFacts(
        task=known.task,
        candidates=tuple(_candidates(known.rivals, adapters)),
        groups=known.groups,
        tried=sum(not each.sealed for each in known.rivals),
        agreement=known.label_agreement,
        curve=known.curve,
        made_of=tuple(each for each in known.digests.items() if not each[0].startswith("outcomes")),
    )


def per_doubling(curve: Sequence[tuple[int, float]]) -> float | None:
    """Gain of the last doubling of the data, in shares of right answers; None: unknown."""
    if len(curve) < 2:
        return None
    (few, worse), (many, better) = curve[-2:]
    return (better - worse) / math.log2(many / few) if many > few else None


def _candidates(rows: Sequence[Contender], adapters: Sequence[str]) -> list[OptionMeasured]:
    """The best of each option; of language models the smallest is `prompt`, the others `larger`."""
    simple = [row for row in rows if row.kind in ("baseline", "neighbours") or not row.model]
    models = [row for row in rows if row not in simple]
    tuned = [row for row in models if row.model and (":" in row.model or row.model in adapters)]
    sizes: dict[str | None, int] = {}
    for row in models:
        if row not in tuned:
            sizes[row.model] = max(sizes.get(row.model, 0), row.memory_bytes)
    smallest = min(sizes, key=lambda model: sizes[model], default="")
    found = (
        _best("baseline", simple),
        _best("prompt", [row for row in models if row.model == smallest]),
        _best("tuned", tuned),
        _best("larger", [row for row in models if row.model in sizes and row.model != smallest]),
    )
    return [each for each in found if each is not None]


def _best(option: str, rows: Sequence[Contender]) -> OptionMeasured | None:
    """The best by sealed items, else by open ones."""
    best = max(rows, key=lambda each: (each.sealed, each.quality), default=None)
    return None if best is None else candidate(option, best)


def candidate(option: str, row: Contender) -> OptionMeasured:
    """An option as measured."""
    return OptionMeasured(
        option,
        row.name,
        row.measured,
        row.documents_s or None,
        row.p95_s,
        row.memory_bytes,
        source="gate" if row.sealed else "evaluation",
        joules=row.joules,
    )


def cascade(
    found: CertifiedRoute, small: OptionMeasured, larger: OptionMeasured | None
) -> OptionMeasured:
    """A route as a cascade, with the least quality that its certificate promises.

    Where people answer the rest, it has no quality before `with_people`. Where a larger stage does,
    the route is as right as the certificate shows against that stage's own measurement, or, without
    one, as if all the rest were wrong.

    Args:
        small: the first stage, as measured.
        larger: the second one; None where it was not measured here.
    """
    told = OptionMeasured(
        "cascade",
        f"route {found.route}",
        None,
        small.documents_s,
        small.seconds,
        small.memory,
        coverage=found.coverage,
        source=f"certificate {found.id[:16]}",
        joules=small.joules,
        rest=found.rest,
        bound=found.bound,
        certificate_groups=found.groups,
    )
    if found.rest == "people":
        return told
    value = least = (1 - found.bound) * found.coverage
    left = 1 - found.coverage
    if larger is None or larger.quality is None:
        unknown = Quality(value, least, 1.0, found.groups, sealed=True)
        return replace(told, quality=unknown, documents_s=None, seconds=None, joules=None)
    least = max(least, larger.quality.low + (found.low or 0.0))
    value = max(least, larger.quality.value)
    return replace(
        told,
        quality=Quality(value, least, 1.0, found.groups, sealed=True),
        documents_s=_together(small.documents_s, larger.documents_s, left),
        seconds=_sum(small.seconds, larger.seconds),
        memory=small.memory + larger.memory,
        joules=_sum(small.joules, None if larger.joules is None else left * larger.joules),
    )


def with_people(found: OptionMeasured, agreement: float | None) -> OptionMeasured:
    """People are right as often as they agree with each other."""
    if found.rest != "people" or found.bound is None or agreement is None:
        return found
    covered = found.coverage or 0.0
    least = covered * (1 - found.bound) + (1 - covered) * agreement
    most = covered + (1 - covered) * agreement
    groups = found.certificate_groups
    return replace(found, quality=Quality(least, least, most, groups, sealed=True))


def _together(small: float | None, larger: float | None, left: float) -> float | None:
    """Documents a second; `left` is the second stage's share."""
    return None if not small or not larger else 1 / (1 / small + left / larger)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def told(questions: Questions) -> list[OptionMeasured]:
    """Options measured elsewhere."""
    return [
        OptionMeasured(
            each.option,
            each.name or each.option,
            Quality(each.quality.mid, each.quality.low, each.quality.high, each.groups),
            each.documents_s,
            each.seconds,
            coverage=each.coverage,
            source=each.source,
        )
        for each in questions.measured
        if each.quality is not None
    ]


def joined(facts: MeasuredFacts, more: Iterable[OptionMeasured]) -> MeasuredFacts:
    """Add candidates, which replace those of the same option."""
    added = {each.option: each for each in more}
    kept = tuple(each for each in facts.candidates if each.option not in added)
    sources = tuple((f"told of {each.option}", each.source) for each in added.values())
    return replace(
        facts,
        candidates=(*kept, *added.values()),
        tried=facts.tried + len(added),
        made_of=(*facts.made_of, *sources),
    )
