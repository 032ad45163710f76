"""The advisor's page: the answer, its cost, its turning points, and its basis.

Rules: a director reads the first screen and needs no other; every number of a person is next to its
source; the page names unmeasured values.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from appliance.advisor.costs import MOST_UNCERTAIN
from appliance.advisor.options import MeasuredFacts
from appliance.advisor.questions import SOURCE, Questions, Range
from appliance.advisor.verdict import NAMES, Option, Recommendation, parts
from appliance.evals.evidence_reader import Quality
from appliance.reports import charts
from appliance.reports.axes import plain
from appliance.reports.charts import ChartEstimate
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section, Tone
from appliance.text import between, percent
from appliance.wire.admin.advice import FlipTold

WORDS: Final = {
    "load.requests_day": "requests a day",
    "domain.quality": "share of right answers that is wanted",
    "domain.changes_months": "months between two retrainings",
    "domain.wrong_answer": "cost of a wrong answer",
    "regulation.data_may_leave": "data may leave the network",
    "costs.machine": "price of a machine",
    "costs.years": "years that a machine lasts",
    "costs.watts_idle": "watts of an idle machine",
    "costs.watts_busy": "watts of a busy machine",
    "costs.kwh": "price of a kilowatt-hour",
    "costs.staff_hours": "hours of staff a month",
    "costs.staff_hour": "price of an hour of staff",
    "costs.defer_minutes": "minutes of a person for a doubtful item",
    "data.label_minutes": "minutes for a label",
    "data.hour": "price of an hour of labelling",
    "load.seconds": "seconds that an answer may take",
    "load.tokens_in": "tokens of a request",
    "load.tokens_out": "tokens of an answer",
}
_STATES: Final = {
    "shown": "good enough",
    "open": "not shown",
    "below": "not good enough",
    "unmeasured": "not measured",
    "excluded": "excluded",
}
VERDICTS: Final = {
    **NAMES,
    "try_tuning": "tune a small model and measure it",
    "not_enough_data": "not enough data",
    "people": "leave it to people",
    "blocked": "no verdict",
}
_MOST: Final = 8
"""Rows of a table that a director reads."""


def page(
    advice: Recommendation, questions: Questions, facts: MeasuredFacts, when: str
) -> ReportPage:
    """The page of an advice."""
    task = facts.task or questions.domain.purpose or "this task"
    return ReportPage(
        title=f"Advice on {task}",
        answer=advice.answer,
        tone=_tone(advice),
        facts=_facts(advice, questions, facts),
        figure=_figure(advice.options, questions.costs.currency),
        sections=tuple(_sections(advice, questions, facts)),
        made_of=(*facts.made_of, *_prices(questions)),
        when=when,
    )


def words(name: str) -> str:
    """Name an answer for people."""
    if name.startswith("prices."):
        chosen, _, part = name.removeprefix("prices.").rpartition(".")
        told = {
            "million_in": "price of a million tokens read",
            "million_out": "price of a million tokens written",
            "month": "price of a month",
            "staff_hours": "hours of staff a month",
        }
        return f"{chosen}: {told.get(part, part)}"
    return WORDS.get(name, name)


def _tone(advice: Recommendation) -> Tone:
    if advice.verdict in ("blocked", "not_enough_data", "try_tuning"):
        return "muted"
    return "no" if advice.verdict == "people" else "good"


def _facts(advice: Recommendation, questions: Questions, facts: MeasuredFacts) -> tuple[Fact, ...]:
    currency, chosen, found = questions.costs.currency, advice.chosen, []
    if chosen is not None and chosen.cost is not None:
        cost = chosen.cost
        found.append(
            Fact(
                "a month",
                f"{cost.p50:,.0f} {currency}",
                f"P10 {cost.p10:,.0f}, P90 {cost.p90:,.0f}",
            )
        )
    if chosen is not None and chosen.quality is not None:
        quality = chosen.quality
        note = f"{_limits(quality)}, {quality.groups} groups"
        found.append(Fact("right answers", percent(quality.value), note))
    volume = questions.load.requests_day
    if volume is not None:
        found.append(Fact("requests a day", plain(volume.mid), "as answered"))
    elif facts.arrivals is not None:
        note = f"from the log, {plain(facts.arrivals.days)} days"
        found.append(Fact("requests a day", plain(facts.arrivals.requests_day), note))
    if advice.utilisation is not None:
        note = "share of the time in which the machine computes"
        found.append(Fact("utilisation", percent(advice.utilisation), note))
    for name, at in advice.break_even[:1]:
        shown = "never" if at is None else plain(at)
        found.append(Fact("break-even", shown, f"requests a day, against {name}"))
    if advice.more:
        found.append(Fact("missing", f"{advice.more:,}", "more groups or examples"))
    return tuple(found[:6])


def _figure(options: Sequence[Option], currency: str) -> Figure | None:
    rows = [
        ChartEstimate(
            NAMES[o.option] if o.option != "cloud" else o.name,
            o.cost.p50, o.cost.p10, o.cost.p90,
            "accent" if o.state == "shown" else "muted",
        )
        for o in options if o.cost is not None
    ]  # fmt: skip
    if not rows:
        return None
    drawn = charts.intervals(
        "Cost of each option a month", rows, axis_name=f"{currency} a month", form=plain
    )
    return Figure(
        drawn, "P50, with P10 to P90. Options that are not good enough are drawn faintly."
    )


def _sections(advice: Recommendation, questions: Questions, facts: MeasuredFacts) -> list[Section]:
    found = [Section("Beside the answer", advice.notes)] if advice.notes else []
    if advice.options:
        found.append(Section("Options", (), (_options(advice, questions.costs.currency),)))
    if advice.flips:
        found.append(_flips(advice.flips))
    chosen = advice.chosen
    if chosen is not None and chosen.case is not None and (made := parts(chosen.case)):
        found.append(_cost(advice, made, questions.costs.currency))
    found.append(_answers(questions, facts))
    found.append(_thresholds(questions))
    return found


def _limits(quality: Quality) -> str:
    """An interval with its level; the limits of a route's certificate have none."""
    ends = between(quality.low, quality.high)
    return ends if quality.low == quality.value else f"{ends} ({100 * quality.confidence:.3g} %)"


def _options(advice: Recommendation, currency: str) -> ReportTable:
    rows = []
    for option in advice.options:
        quality, cost = option.quality, option.cost
        rows.append(
            (
                ("→ " if option is advice.chosen else "") + NAMES[option.option],
                option.name if option.name != NAMES[option.option] else "-",
                _STATES[option.state],
                "-" if quality is None else _limits(quality),
                "-" if cost is None else f"{cost.p50:,.2f}",
                "-" if option.seconds is None else f"{plain(option.seconds)} s",
                option.why,
            )
        )
    columns = (
        "option", "measured", "state", ">right answers", f">{currency} a month", ">p95", "why",
    )  # fmt: skip
    return ReportTable(columns, tuple(rows))


def _flips(flips: Sequence[FlipTold]) -> Section:
    rows = tuple(
        (words(flip.name), _said(flip.now), _said(flip.then), VERDICTS.get(flip.verdict, ""))
        for flip in sorted(flips, key=_distance)[:_MOST]
    )
    return Section(
        "Changes that flip the answer",
        ("One answer at a time, the nearest first; the others stay as they are.",),
        (ReportTable(("if", ">now", ">then", "the verdict is"), rows),),
    )


def _distance(flip: FlipTold) -> float:
    """Yes or no first, then by the ratio."""
    if isinstance(flip.now, bool) or not flip.now or not flip.then:
        return 0.0
    return max(flip.now / flip.then, flip.then / flip.now)


def _said(value: float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _cost(advice: Recommendation, made: dict[str, float], currency: str) -> Section:
    shown: list[ReportTable | Figure] = [
        ReportTable(
            ("part", f">{currency} a month, P50"),
            tuple((name, f"{value:,.2f}") for name, value in made.items() if value),
        )
    ]
    swings = advice.tornado[:MOST_UNCERTAIN]
    if swings:
        rows = tuple((words(s.name), f"{s.at_low:,.2f}", f"{s.at_high:,.2f}") for s in swings)
        caption = "Largest effects: the cost at P10 and at P90 of one answer"
        shown.append(ReportTable(("answer", ">at its P10", ">at its P90"), rows, caption))
    return Section(
        "Where the cost comes from",
        (
            "Exact: every uncertain answer takes its P10, P50 and P90 with the weights 0.3, 0.4 "
            "and 0.3, in all combinations. Nothing is drawn at random.",
        ),
        tuple(shown),
    )


def _answers(questions: Questions, facts: MeasuredFacts) -> Section:
    rows = [(words(name), _range(value)) for name, value in questions.ranges.items() if value.high]
    rows.insert(0, ("data may leave the network", _said(questions.regulation.data_may_leave)))
    if questions.domain.quality is not None:
        rows.insert(1, (words("domain.quality"), percent(questions.domain.quality)))
    sentences = []
    if facts.arrivals is not None:
        seen = facts.arrivals
        sentences.append(
            f"The log of this appliance has {seen.requests:,} answers in {plain(seen.days)} days, "
            f"at most {seen.busiest_hour:,} in an hour and {seen.at_once} at once; something was "
            f"answered {percent(seen.utilisation)} of the time."
        )
    return Section(
        "Your answers", tuple(sentences), (ReportTable(("answer", ">value"), tuple(rows)),)
    )


def _range(value: Range) -> str:
    return _said(value.mid) if value.known else " / ".join(map(_said, value))


def _thresholds(questions: Questions) -> Section:
    rows = tuple(
        (each.name.replace("_", " "), _said(float(getattr(questions.thresholds, each.name))))
        for each in fields(questions.thresholds)
    )
    return Section(
        "Rules of thumb",
        (f"Source: {SOURCE}. `[thresholds]` in the file of answers changes them.",),
        (ReportTable(("rule", ">value"), rows),),
    )


def _prices(questions: Questions) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"price of {p.name}", f"{p.as_of or 'no date'}, {p.source or 'no source'}")
        for p in questions.prices
    )
