"""Monthly cost of an option, by its parts, with P10, P50 and P90.

Rules: pure arithmetic that a spreadsheet repeats: every uncertain answer takes its P10, P50 and P90
with the weights 0.3, 0.4 and 0.3, in all combinations; beyond eight uncertain answers those that
move the cost least stay at their P50; a machine is bought whole.
Source: Keefer & Bodily, Management Science 29, 1983 (three-point approximations; the weights are
Swanson's).
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.advisor.options import MeasuredFacts, OptionMeasured
from appliance.advisor.questions import Price, Questions, Range, exactly
from appliance.statistics import power

WEIGHTS: Final = (0.3, 0.4, 0.3)
MOST_UNCERTAIN: Final = 8
HOURS_MONTH: Final = 730.0
_WORKING_HOURS: Final = 8.0
LEARNED: Final = ("baseline", "tuned", "cascade")
"""Options that are fitted to labels again at every retraining."""

Floats: TypeAlias = NDArray[np.float64]
Value: TypeAlias = float | Floats
Values: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Percentiles:
    """A cost by its P10, P50 and P90."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True)
class Swing:
    """The cost at an answer's P10 and P90, others at P50."""

    name: str
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True)
class Case:
    """One option with all that its cost follows from.

    Attributes:
        price: of a paid model; None for one that runs here.
        certify: groups for a certificate, labelled at every retraining.
        shared: cost the machine as if others filled the rest of its time: the full-throughput
            calculation, which is shown next to the honest one and decides nothing.
    """

    questions: Questions
    facts: MeasuredFacts
    candidate: OptionMeasured
    price: Price | None = None
    certify: int = 0
    shared: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Answers still needed before it has a cost; an unknown is never zero."""
        found = []
        volume = requests_day(self.questions, self.facts)
        if volume is None or volume.high <= 0:
            found.append("load.requests_day")
        load, price = self.questions.load, self.price
        if price is not None and max(price.million_in.high, price.million_out.high) > 0:
            for name, tokens in (("in", load.tokens_in), ("out", load.tokens_out)):
                if tokens.high <= 0:
                    found.append(f"load.tokens_{name}")
        if self.candidate.option == "cascade" and self.candidate.rest == "people":
            if self.questions.costs.defer_minutes.high <= 0:
                found.append("costs.defer_minutes")
            if self.questions.data.hour.high <= 0:
                found.append("data.hour")
        if self.price is None:
            if self.questions.costs.machine is None:
                found.append("costs.machine")
            if self.candidate.documents_s is None:
                found.append("speed")
            if self.candidate.option == "cascade" and self.candidate.coverage is None:
                found.append("coverage")
        return tuple(found)

    def parts(self, values: Values) -> dict[str, Value]:
        load = self.questions.load
        requests = values["load.requests_day"] * load.days_month
        found: dict[str, Value] = {}
        if self.price is None:
            found |= self._machine(values, requests)
        else:
            found |= self._paid(values, requests, self.price)
        found["labels"] = self._labels(values)
        if self.candidate.option == "cascade":
            people = self.candidate.rest == "people"
            left = 1 - (self.candidate.coverage or 0.0) if people else 0.0
            minutes = values["costs.defer_minutes"]
            found["people"] = requests * left * minutes / 60 * values["data.hour"]
        quality = self.candidate.quality
        if quality is not None:
            found["wrong answers"] = requests * (1 - quality.value) * values["domain.wrong_answer"]
        return found

    def total(self, values: Values) -> Value:
        return sum(self.parts(values).values(), start=0.0)

    def _machine(self, values: Values, requests: Value) -> dict[str, Value]:
        costs, load = self.questions.costs, self.questions.load
        speed = self.candidate.documents_s or math.inf
        measured = self.facts.arrivals.busiest_hour if self.facts.arrivals else None
        hour = load.busiest_hour if load.busiest_hour is not None else measured
        busiest = values["load.requests_day"] / _WORKING_HOURS if hour is None else float(hour)
        planned = speed * 3600 * self.questions.thresholds.headroom
        machines = np.maximum(1.0, np.ceil(np.asarray(busiest / planned) - 1e-9))
        busy = requests / (speed * 3600)
        used = utilisation_of(busy, machines) if self.shared else 1.0
        bought = machines * values["costs.machine"] / (values["costs.years"] * 12)
        idle = machines * values["costs.watts_idle"] * HOURS_MONTH
        kwh = (idle * used + self._extra(values, requests, busy)) / 1000 * costs.pue
        return {
            "machine": bought * used,
            "power": kwh * values["costs.kwh"],
            "staff": values["costs.staff_hours"] * values["costs.staff_hour"] * used,
        }

    def _extra(self, values: Values, requests: Value, busy: Value) -> Value:
        """As answered, else by the measured joules."""
        if self.questions.costs.watts_busy.high > 0:
            return (values["costs.watts_busy"] - values["costs.watts_idle"]) * busy
        return requests * (self.candidate.joules or 0.0) / 3600

    def _paid(self, values: Values, requests: Value, price: Price) -> dict[str, Value]:
        here = f"prices.{price.name}"
        tokens = (
            values["load.tokens_in"] * values[f"{here}.million_in"]
            + values["load.tokens_out"] * values[f"{here}.million_out"]
        )
        return {
            "tokens": requests * tokens / 1e6,
            "fixed": values[f"{here}.month"],
            "staff": values[f"{here}.staff_hours"] * values["costs.staff_hour"],
        }

    def _labels(self, values: Values) -> Value:
        data = self.questions.data
        items = self.certify + (data.relabel if self.candidate.option in LEARNED else 0)
        each = values["data.label_minutes"] / 60 * values["data.hour"] * data.raters
        return items * each / values["domain.changes_months"]


def requests_day(questions: Questions, facts: MeasuredFacts) -> Range | None:
    """As answered, else by the log."""
    if questions.load.requests_day is not None:
        return questions.load.requests_day
    return None if facts.arrivals is None else exactly(facts.arrivals.requests_day)


@lru_cache(maxsize=256)
def groups_to_certify(bound: float, wrong: float, delta: float) -> int | None:
    """Groups for a certificate, with power 0.8; None: no number."""
    if wrong <= 0:
        return power.groups_without_error(bound, delta)
    return power.groups_for_bound(bound, wrong, delta)


def utilisation_of(busy_hours: Value, machines: Value) -> Value:
    """The computing share of a month."""
    return np.minimum(1.0, busy_hours / (HOURS_MONTH * machines))


def middle(questions: Questions, facts: MeasuredFacts) -> dict[str, float]:
    """Every answer at its P50."""
    return {name: value.mid for name, value in _ranges(questions, facts).items()}


def cost(case: Case) -> Percentiles | None:
    """None where something is missing."""
    if case.missing:
        return None
    ranges = _ranges(case.questions, case.facts)
    fixed = {name: value.mid for name, value in ranges.items()}
    named = [swing.name for swing in tornado(case)[:MOST_UNCERTAIN]]
    return _percentiles(case.total, fixed, {name: ranges[name] for name in named})


def retraining(questions: Questions) -> Percentiles:
    """The cost of labels for one retraining."""
    data = questions.data
    uncertain = {"data.label_minutes": data.label_minutes, "data.hour": data.hour}

    def total(values: Values) -> Value:
        return data.relabel * data.raters * values["data.label_minutes"] / 60 * values["data.hour"]

    return _percentiles(total, {}, uncertain)


def tornado(case: Case) -> list[Swing]:
    """Effects on the cost, the largest first, without zeros."""
    if case.missing:
        return []
    ranges = _ranges(case.questions, case.facts)
    fixed: dict[str, Value] = {name: value.mid for name, value in ranges.items()}
    found = []
    for name, value in ranges.items():
        if not value.known:
            ends = [float(np.asarray(case.total({**fixed, name: end}))) for end in value[::2]]
            found.append(Swing(name, *ends))
    return sorted((each for each in found if each.width > 0), key=lambda each: -each.width)


def break_even(one: Case, other: Case, most: float = 1e9) -> float | None:
    """Requests a day from which `one` is not dearer than `other`, at P50; None without any.

    The least number between 0 and `most` at which it is so and was not so at 0.
    """
    if one.missing or other.missing:
        return None

    def cheaper(volume: float) -> bool:
        return all_in(one, volume) <= all_in(other, volume)

    def all_in(case: Case, volume: float) -> float:
        values = {**middle(case.questions, case.facts), "load.requests_day": volume}
        return float(np.asarray(case.total(values)))

    if cheaper(0.0):
        return None
    return first_true(cheaper, 1e-3, most)


def first_true(
    holds: Callable[[float], bool], low: float, high: float, *, step: float = 1.1, to: float = 1e-9
) -> float | None:
    """The least value between `low` and `high` at which something holds.

    Args:
        step: ratio of trials; a narrower island is missed.
        to: relative precision of the halving.
    """
    steps = math.ceil(math.log(high / low) / math.log(step))
    before = low
    for number in range(steps + 1):
        at = min(high, low * step**number)
        if holds(at):
            while at - before > to * at:
                half = (before + at) / 2
                before, at = (before, half) if holds(half) else (half, at)
            return at
        before = at
    return None


def _ranges(questions: Questions, facts: MeasuredFacts) -> dict[str, Range]:
    ranges = questions.ranges
    volume = requests_day(questions, facts)
    return ranges if volume is None else {**ranges, "load.requests_day": volume}


def _percentiles(
    total: Callable[[Values], Value], fixed: Mapping[str, float], uncertain: Mapping[str, Range]
) -> Percentiles:
    points = np.array(list(itertools.product(*uncertain.values())))
    weights = np.array(
        [math.prod(each) for each in itertools.product(WEIGHTS, repeat=len(uncertain))]
    )
    values: dict[str, Value] = {**fixed}
    values |= {name: points[:, number] for number, name in enumerate(uncertain)}
    totals = np.broadcast_to(np.asarray(total(values)), weights.shape)
    return Percentiles(*(_quantile(totals, weights, share) for share in (0.1, 0.5, 0.9)))


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(reached, share - 1e-12))])
