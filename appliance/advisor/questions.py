"""The four questions, as a frozen record: domain, data, latency and volume, regulation.

Rules: an inexact value is a range of three, its P10, P50 and P90; unknown words are refused by
name; the same file overrides the article's thresholds.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from appliance.errors import Refused
from appliance.tasks.metrics import FORMS
from appliance.types import JsonValue

SOURCE: Final = "the article that this product follows: rules of thumb, to be replaced by yours"
TOLD: Final = ("prompt", "retrieval", "tuned", "cascade", "larger", "upstream")
"""Options that a person may have measured elsewhere; the classifier is always measured here."""
_T = TypeVar("_T")


class Range(NamedTuple):
    """P10, P50 and P90; equal where known."""

    low: float
    mid: float
    high: float

    @property
    def known(self) -> bool:
        return self.low == self.high


def exactly(value: float) -> Range:
    """A known value."""
    return Range(value, value, value)


_NOTHING: Final = exactly(0)
_ONE: Final = exactly(1)
_YEAR: Final = exactly(12)
_LIFE: Final = exactly(4)


@dataclass(frozen=True)
class Domain:
    """The work to be done.

    Attributes:
        changes_months: months until right answers change: the retraining interval.
        facts_days: days until facts that answers need are out of date; None without such.
        quality: wanted share of right answers.
        wrong_answer: cost of one.
    """

    purpose: str = ""
    form: str = "labels"
    changes_months: Range = _YEAR
    facts_days: float | None = None
    quality: float | None = None
    wrong_answer: Range = _NOTHING


@dataclass(frozen=True)
class Data:
    """The data to learn from, and the price of more.

    Attributes:
        examples, groups: labelled items, and independent groups of them; None: as measured.
        label_minutes: a person's minutes for one label.
        hour: cost of an hour of such a person.
        relabel: items that are labelled again for each retraining.
        agreement: of two people on an item; None: by the data's labels.
    """

    examples: int | None = None
    groups: int | None = None
    label_minutes: Range = _ONE
    hour: Range = _NOTHING
    raters: int = 2
    relabel: int = 300
    agreement: float | None = None


@dataclass(frozen=True)
class ExpectedLoad:
    """Latency and volume.

    Attributes:
        requests_day: None: from the log of this appliance.
        days_month: days of a month with requests.
        busiest_hour: requests in it; None: from the log, else all of a day within eight hours.
        seconds: that 95 of 100 answers may take.
        tokens_in, tokens_out: of a request, for a model paid by the token.
    """

    requests_day: Range | None = None
    days_month: float = 30
    busiest_hour: float | None = None
    seconds: float | None = None
    tokens_in: Range = _NOTHING
    tokens_out: Range = _NOTHING


@dataclass(frozen=True)
class Regulation:
    """Rules on data that may leave and on proof that is due.

    Attributes:
        bound: error rate that a certificate has to exclude; None: no certificate needed.
        delta: allowed probability of a wrong certificate.
    """

    data_may_leave: bool = False
    bound: float | None = None
    delta: float = 0.05


@dataclass(frozen=True)
class Costs:
    """This appliance's costs; None where unknown.

    Attributes:
        machine: price of one, which lives for `years`.
        watts_idle, watts_busy: without `watts_busy`, measured joules of an evaluation count.
        kwh: price of a kilowatt-hour.
        pue: factor of power for cooling and supply.
        staff_hours: a month.
        staff_hour: cost of one.
        defer_minutes: a person's minutes for an item of a cascade.
    """

    currency: str = "EUR"
    machine: Range | None = None
    years: Range = _LIFE
    watts_idle: Range = _NOTHING
    watts_busy: Range = _NOTHING
    kwh: Range = _NOTHING
    pue: float = 1.0
    staff_hours: Range = _NOTHING
    staff_hour: Range = _NOTHING
    defer_minutes: Range = _NOTHING


@dataclass(frozen=True)
class Price:
    """The price of a model elsewhere, as its user found it.

    Attributes:
        million_in, million_out: of a million tokens.
        month: fixed monthly price.
        staff_hours: a month.
        quality: score on the same items as (low, value, high); None if not measured.
        seconds: that 95 of 100 answers take; None: not measured.
    """

    name: str = "cloud"
    million_in: Range = _NOTHING
    million_out: Range = _NOTHING
    month: Range = _NOTHING
    staff_hours: Range = _NOTHING
    as_of: date | None = None
    source: str = ""
    quality: Range | None = None
    groups: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class ToldOption:
    """An option measured elsewhere: a cascade, a model of another host, a pilot.

    Attributes:
        quality: low, value and high of the share of right answers on the same items.
        seconds: that 95 of 100 answers take.
        coverage: share that a cascade answers itself.
    """

    option: str = ""
    name: str = ""
    quality: Range | None = None
    groups: int = 0
    documents_s: float | None = None
    seconds: float | None = None
    coverage: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Thresholds:
    """Rules of thumb, editable; `SOURCE` says where the defaults are from.

    Attributes:
        examples_try: labelled examples below which tuning is not tried.
        examples_production: and below which a tuned model is a trial.
        calls_day: below it a service paid by the call tends to be cheaper.
        fast_seconds: an answer within it must be local.
        memory_gib: of a graphics card for tuning a small model.
        price_days: greatest age of a price.
        facts_days: facts that change faster belong into a collection, not into weights.
        headroom: planned share of a machine's speed.
    """

    examples_try: int = 1_000
    examples_production: int = 10_000
    calls_day: float = 1_000
    fast_seconds: float = 1.0
    memory_gib: float = 12
    price_days: int = 90
    facts_days: float = 30
    headroom: float = 0.7


@dataclass(frozen=True)
class Questions:
    """All answers of a person."""

    domain: Domain = field(default_factory=Domain)
    data: Data = field(default_factory=Data)
    load: ExpectedLoad = field(default_factory=ExpectedLoad)
    regulation: Regulation = field(default_factory=Regulation)
    costs: Costs = field(default_factory=Costs)
    prices: tuple[Price, ...] = ()
    measured: tuple[ToldOption, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """Answers that are ranges, by name in the file."""
        found: dict[str, Range] = {}
        parts: dict[str, Domain | Data | ExpectedLoad | Costs | Price] = {
            "domain": self.domain, "data": self.data, "load": self.load, "costs": self.costs,
            **{f"prices.{price.name}": price for price in self.prices},
        }  # fmt: skip
        for part, record in parts.items():
            for each in fields(record):
                value = getattr(record, each.name)
                if isinstance(value, Range) and each.name != "quality":
                    found[f"{part}.{each.name}"] = value
        return found

    @property
    def settled(self) -> "Questions":
        found = self
        for name, value in self.ranges.items():
            if not value.known:
                found = found.having(name, exactly(value.mid))
        return found

    def having(self, name: str, value: Range) -> "Questions":
        part, _, attribute = name.rpartition(".")
        if part.startswith("prices."):
            chosen = part.removeprefix("prices.")
            prices = tuple(
                replace(p, **{attribute: value}) if p.name == chosen else p  # type: ignore[arg-type]
                for p in self.prices
            )
            return replace(self, prices=prices)
        changed = replace(getattr(self, part), **{attribute: value})
        return replace(self, **{part: changed})


def read(text: str, *, as_json: bool = False) -> Questions:
    """The answers of a TOML or JSON file.

    Raises:
        Refused: `answers_invalid`, naming the fault.
    """
    try:
        value = json.loads(text) if as_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"The answers cannot be read: {error}") from error
    return build(value)


def build(value: object) -> Questions:
    """The answers of a parsed file; raises as `read`."""
    if not isinstance(value, Mapping):
        raise _invalid("The answers are no table.")
    kinds: dict[str, type[Any]] = {
        "domain": Domain, "data": Data, "load": ExpectedLoad, "regulation": Regulation,
        "costs": Costs, "thresholds": Thresholds,
    }  # fmt: skip
    unknown = sorted(set(value) - {*kinds, "prices", "measured"})
    if unknown:
        raise _invalid(f"There is no question {unknown[0]!r}.")
    made = {name: _record(kinds[name], value[name], name) for name in kinds if name in value}
    prices = tuple(_record(Price, each, "prices") for each in _listed(value, "prices"))
    told = tuple(_record(ToldOption, each, "measured") for each in _listed(value, "measured"))
    if len({price.name for price in prices}) != len(prices):
        raise _invalid("prices: two have the same name.")
    found = Questions(prices=prices, measured=told, **made)
    _check(found)
    return found


def _check(found: Questions) -> None:
    if found.domain.form not in FORMS:
        raise _invalid(f"domain.form is one of {', '.join(FORMS)}.")
    for name, value in (
        ("domain.quality", found.domain.quality),
        ("regulation.bound", found.regulation.bound),
        ("regulation.delta", found.regulation.delta),
    ):
        if value is not None and not 0 < value < 1:
            raise _invalid(f"{name} is strictly between 0 and 1.")
    positive = {
        "domain.changes_months": found.domain.changes_months.low,
        "costs.years": found.costs.years.low,
        "load.days_month": found.load.days_month,
        "costs.pue": found.costs.pue,
        "thresholds.headroom": found.thresholds.headroom,
        "data.raters": found.data.raters,
    }
    for name, number in positive.items():
        if number <= 0:
            raise _invalid(f"{name} is above 0.")
    for told in found.measured:
        if told.option not in TOLD or told.quality is None or not told.source:
            raise _invalid(
                f"measured: each has an option of {', '.join(TOLD)}, a quality and a source."
            )
        if not 0 <= told.quality.low <= told.quality.high <= 1:
            raise _invalid("measured.quality: shares between 0 and 1.")
        if told.groups < 1 or not 0 <= (told.coverage or 0) <= 1:
            raise _invalid("measured: groups are counted, and coverage is a share.")
    for price in found.prices:
        if not price.name:
            raise _invalid("prices: each has a name.")
        if price.quality is not None and not 0 <= price.quality.low <= price.quality.high <= 1:
            raise _invalid("prices.quality: shares between 0 and 1.")


def _listed(value: Mapping[str, JsonValue], name: str) -> list[object]:
    found = value.get(name, [])
    if not isinstance(found, list) or len(found) > 20:
        raise _invalid(f"{name}: a list of at most 20.")
    return found


def _record(kind: type[_T], value: object, place: str) -> _T:
    if not isinstance(value, Mapping):
        raise _invalid(f"{place} is a table.")
    known = {
        each.name: getattr(each.type, "__name__", str(each.type))
        for each in fields(kind)  # type: ignore[arg-type]
    }
    made = {}
    for name, given in value.items():
        if name not in known:
            raise _invalid(f"{place} has no {name!r}; it has {', '.join(known)}.")
        made[name] = _value(given, known[name], f"{place}.{name}")
    return kind(**made)


def _value(given: object, kind: str, place: str) -> object:
    if "Range" in kind:
        return _range(given, place)
    if "date" in kind:
        return _date(given, place)
    if kind.startswith("str"):
        if not isinstance(given, str) or len(given) > 500:
            raise _invalid(f"{place} is a text of at most 500 characters.")
        return given
    if kind.startswith("bool"):
        if not isinstance(given, bool):
            raise _invalid(f"{place} is true or false.")
        return given
    number = _number(given, place)
    if not kind.startswith("int"):
        return number
    if number != int(number):
        raise _invalid(f"{place} is a whole number.")
    return int(number)


def _range(given: object, place: str) -> Range:
    if isinstance(given, list):
        if len(given) != 3:
            raise _invalid(f"{place} is a number, or three: P10, P50 and P90.")
        low, mid, high = (_number(each, place) for each in given)
        if not low <= mid <= high:
            raise _invalid(f"{place}: P10, P50 and P90 do not ascend.")
        return Range(low, mid, high)
    return exactly(_number(given, place))


def _number(given: object, place: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _invalid(f"{place} is a number.")
    if not math.isfinite(given) or not 0 <= given <= 1e15:
        raise _invalid(f"{place} is between 0 and 1e15.")
    return float(given)


def _date(given: object, place: str) -> date:
    if isinstance(given, date):
        return date(given.year, given.month, given.day)
    try:
        return date.fromisoformat(str(given))
    except ValueError as error:
        raise _invalid(f"{place} is a date such as 2026-11-27.") from error


def _invalid(message: str) -> Refused:
    return Refused("answers_invalid", message)
