"""What this appliance measured itself: candidates of an evaluation, arrivals of the log, the host.

Rules: what is not measured is missing and never guessed; utilisation is the share of time in which
something was answered, from the log, not what a machine could do; the learning curve is that of the
battery's own logistic regressions.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.advisor.questions import Questions

OPTIONS: Final = ("baseline", "prompt", "retrieval", "tuned", "cascade", "larger", "upstream")
"""What can answer within the network, the simplest first."""
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_AT_N: Final = re.compile(r", n=([\d,]+)$")


@dataclass(frozen=True)
class Quality:
    """A measured share of right answers, with its interval and the groups it rests on."""

    value: float
    low: float
    high: float
    groups: int


@dataclass(frozen=True)
class Candidate:
    """What was measured of one option.

    Attributes:
        option: one of `OPTIONS`, or `cloud`.
        documents_s: documents a second; None: not measured.
        seconds: that 95 of 100 answers take.
        memory: bytes.
        coverage: share that a cascade answers itself; the rest goes to people.
        tokens: that it writes for an answer.
        source: what says so.
    """

    option: str
    name: str
    quality: Quality | None = None
    documents_s: float | None = None
    seconds: float | None = None
    memory: int = 0
    coverage: float | None = None
    tokens: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Arrivals:
    """When requests came.

    Attributes:
        days: from the first to the last.
        busiest_hour: most requests within one hour of the clock.
        at_once: most that were answered at the same time.
        utilisation: share of the time in which at least one was answered.
    """

    requests: int
    days: float
    busiest_hour: int
    at_once: int
    utilisation: float

    @property
    def requests_day(self) -> float:
        """On average."""
        return self.requests / max(self.days, 1.0)


@dataclass(frozen=True)
class Facts:
    """Everything that was measured here.

    Attributes:
        groups: independent groups that the evaluation rests on.
        examples: labelled items to learn from.
        agreement: how often two labels of one text agree; None: unknown.
        curve: learning curve of the simplest classifier: items and quality, ascending.
        host_memory: bytes.
        made_of: digests and ids of the evaluations that the facts come from.
    """

    task: str = ""
    candidates: tuple[Candidate, ...] = ()
    arrivals: Arrivals | None = None
    groups: int = 0
    examples: int | None = None
    agreement: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    host_memory: int = 0
    made_of: tuple[tuple[str, str], ...] = ()

    def candidate(self, option: str) -> Candidate | None:
        """What was measured of an option."""
        return next((each for each in self.candidates if each.option == option), None)


def arrivals(answered: Iterable[tuple[int, int]]) -> Arrivals | None:
    """Of each answer its end and how long it took, microseconds; None where there is none."""
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
    return Arrivals(
        len(spans), whole / _DAY_US, max(hours.values()), most, busy / whole if whole else 0.0
    )


def from_evaluation(result: Mapping[str, Any], adapters: Sequence[str] = ()) -> Facts:
    """The facts of an evaluation's result.

    Args:
        adapters: ids of models that are tuned; those of the form BASE:NAME are known to be.
    """
    rows = [row for row in result.get("candidates", ()) if row.get("name") != "majority"]
    groups = min((int(row["groups"]) for row in rows), default=0)
    curve = sorted(
        (int(found[1].replace(",", "")), float(row["quality"]))
        for row in rows
        if (found := _AT_N.search(str(row["name"]))) and row["kind"] == "baseline"
    )
    made_of = [(str(name), str(value)) for name, value in result.get("digests", {}).items()]
    return Facts(
        task=str(result.get("task", "")),
        candidates=tuple(_candidates(rows, adapters)),
        groups=groups,
        agreement=result.get("label_agreement"),
        curve=tuple(curve),
        made_of=tuple(each for each in made_of if not each[0].startswith("outcomes")),
    )


def per_doubling(curve: Sequence[tuple[int, float]]) -> float | None:
    """What the last doubling of the data brought, in shares of right answers; None: unknown."""
    if len(curve) < 2:
        return None
    (few, worse), (many, better) = curve[-2:]
    return (better - worse) / math.log2(many / few) if many > few else None


def _candidates(rows: Sequence[Mapping[str, Any]], adapters: Sequence[str]) -> list[Candidate]:
    """The best of each option; of language models the smallest is `prompt`, the others `larger`."""
    simple = [row for row in rows if row["kind"] in ("baseline", "neighbours") or not _model(row)]
    models = [row for row in rows if row not in simple]
    tuned = [row for row in models if ":" in _model(row) or _model(row) in adapters]
    sizes: dict[str, int] = {}
    for row in models:
        if row not in tuned:
            sizes[_model(row)] = max(sizes.get(_model(row), 0), _memory(row))
    smallest = min(sizes, key=lambda model: sizes[model], default="")
    found = (
        _best("baseline", simple),
        _best("prompt", [row for row in models if _model(row) == smallest]),
        _best("tuned", tuned),
        _best(
            "larger", [row for row in models if _model(row) in sizes and _model(row) != smallest]
        ),
    )
    return [each for each in found if each is not None]


def _model(row: Mapping[str, Any]) -> str:
    return str(row.get("model") or "")


def _memory(row: Mapping[str, Any]) -> int:
    return int(row.get("memory_bytes") or 0)


def _best(option: str, rows: Sequence[Mapping[str, Any]]) -> Candidate | None:
    if not rows:
        return None
    row = max(rows, key=lambda each: float(each["quality"]))
    low, high = row["interval"]
    return Candidate(
        option,
        str(row["name"]),
        Quality(float(row["quality"]), float(low), float(high), int(row["groups"])),
        float(row["documents_s"]) or None,
        float(row["p95_s"]),
        _memory(row),
        source="evaluation",
    )


def told(questions: Questions) -> list[Candidate]:
    """What a person measured elsewhere."""
    return [
        Candidate(
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


def joined(facts: Facts, more: Iterable[Candidate]) -> Facts:
    """The facts with further candidates, which replace those of the same option."""
    added = {each.option: each for each in more}
    kept = tuple(each for each in facts.candidates if each.option not in added)
    sources = tuple((f"told of {each.option}", each.source) for each in added.values())
    return replace(facts, candidates=(*kept, *added.values()), made_of=(*facts.made_of, *sources))
