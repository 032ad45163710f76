"""The page of an evaluation: all candidates with intervals, and whether a classifier is enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.evals.summary import Comparison, Summary
from appliance.reports import charts
from appliance.reports.axes import percent, plain
from appliance.reports.charts import Estimate, Placed
from appliance.reports.page import Fact, Figure, Page, Section, Table


@dataclass(frozen=True)
class Evaluated:
    """What a page is made of.

    Attributes:
        baseline: name of the candidate without a language model that others are compared with.
        comparisons: of the other candidates with it.
        ceiling: agreement of repeated labels, which no score can pass for long; None if unknown.
        confusions: columns and counts by candidate, of the form `labels`.
        labels: of that form.
        made_of: digests and versions, for the last table.
    """

    task: str
    metric: str
    split: str
    summaries: Sequence[Summary]
    baseline: str
    comparisons: Sequence[Comparison]
    made_of: Mapping[str, str]
    when: str
    ceiling: float | None = None
    labels: Sequence[str] = ()
    confusions: Mapping[str, Sequence[Sequence[int]]] | None = None


def page(evaluated: Evaluated) -> Page:
    """The report of an evaluation."""
    best = max(evaluated.summaries, key=lambda s: s.quality.value)
    answer, tone = conclusion(evaluated)
    return Page(
        title=f"{evaluated.task}: {evaluated.metric} on {evaluated.split}",
        answer=answer,
        tone=tone,
        facts=_facts(evaluated, best),
        figure=Figure(
            charts.quality_by_speed(
                "Quality and speed of each candidate",
                [Placed(max(s.documents_per_second, 1e-3), _drawn(s)) for s in evaluated.summaries],
                quality_name=evaluated.metric,
            ),
            "Right is faster, up is better. A whisker is a 95 % interval over groups.",
        ),
        sections=tuple(_sections(evaluated, best)),
        made_of=tuple(evaluated.made_of.items()),
        when=evaluated.when,
    )


def conclusion(evaluated: Evaluated) -> tuple[str, str]:
    """The answer in a sentence, and its tone: whether a language model earns its cost here."""
    if not evaluated.comparisons:
        return (f"{evaluated.baseline} is measured; no language model was.", "muted")
    better = [c for c in evaluated.comparisons if c.difference.interval.low > 0]
    if better:
        first = max(better, key=lambda c: c.difference.value)
        gain = _points(first.difference.value)
        return (
            f"{first.first} is better than {evaluated.baseline} by {gain} points "
            f"({_range(first)}). This is the split that candidates are chosen on: only a gate on "
            "sealed items can certify it.",
            "good",
        )
    open_ = [c for c in evaluated.comparisons if c.difference.interval.high > 0]
    if open_:
        first = max(open_, key=lambda c: c.difference.value)
        return (
            f"{evaluated.baseline} is enough so far: no candidate is shown to be better. Closest "
            f"is {first.first}: {_points(first.difference.value)} points ({_range(first)}).",
            "muted",
        )
    return (
        f"{evaluated.baseline} is enough: every other candidate is worse. Do not use a language "
        "model for this task as it is.",
        "bad",
    )


def _facts(evaluated: Evaluated, best: Summary) -> tuple[Fact, ...]:
    low, high = best.quality.interval
    facts = [
        Fact("best candidate", best.name),
        Fact(evaluated.metric, percent(best.quality.value), f"{percent(low)} to {percent(high)}"),
        Fact("groups", str(best.quality.groups), "independent; intervals count these"),
        Fact("items", str(best.items), "each answered by every candidate"),
    ]
    if evaluated.ceiling is not None:
        note = "how often two labels of one text agree"
        facts.append(Fact("label agreement", percent(evaluated.ceiling), note))
    return tuple(facts)


def _sections(evaluated: Evaluated, best: Summary) -> list[Section]:
    ordered = sorted(evaluated.summaries, key=lambda s: -s.quality.value)
    sections = [
        Section(
            "Candidates",
            ("Every candidate answered the same items. A failure counts as wrong.",),
            (
                Figure(
                    charts.intervals(
                        f"{evaluated.metric} of each candidate",
                        [_drawn(s) for s in ordered],
                        axis_name=evaluated.metric,
                        reference=evaluated.ceiling,
                        reference_name="label agreement",
                    ),
                    "Mean over items weighted by group, with a 95 % interval.",
                ),
                _table(ordered),
            ),
        )
    ]
    if evaluated.comparisons:
        sections.append(_compared(evaluated))
    if best.slices:
        sections.append(_sliced(best))
    if evaluated.confusions and best.name in evaluated.confusions:
        drawn = charts.confusion("Confusion", evaluated.labels, evaluated.confusions[best.name])
        caption = f"Answers of {best.name}: counts of items."
        sections.append(Section("Mistakes", (), (Figure(drawn, caption),)))
    return sections


def _table(ordered: Sequence[Summary]) -> Table:
    return Table(
        ("candidate", ">quality", ">95 % interval", ">documents/s", ">p50", ">p95", ">failures"),
        tuple(
            (
                s.name,
                percent(s.quality.value),
                f"{percent(s.quality.interval.low)} to {percent(s.quality.interval.high)}",
                plain(s.documents_per_second),
                f"{plain(s.p50)} s",
                f"{plain(s.p95)} s",
                ", ".join(f"{count} {code}" for code, count in s.failures.items()) or "none",
            )
            for s in ordered
        ),
        "The same figures as text",
    )


def _compared(evaluated: Evaluated) -> Section:
    rows = tuple(
        (c.first, _points(c.difference.value), _range(c), str(len(c.gained)), str(len(c.lost)))
        for c in sorted(evaluated.comparisons, key=lambda c: -c.difference.value)
    )
    columns = ("candidate", ">points", ">interval", ">only it right", ">only the baseline right")
    return Section(
        f"Against {evaluated.baseline}",
        ("Paired by item, weighted by group. An interval that holds 0 shows no difference.",),
        (Table(columns, rows),),
    )


def _sliced(best: Summary) -> Section:
    rows = [Estimate(name, e.value, *e.interval) for name, e in best.slices.items()]
    drawn = charts.intervals("Quality by slice", rows, axis_name="quality")
    return Section("Slices", (), (Figure(drawn, f"{best.name} by stratum."),))


def _drawn(summary: Summary) -> Estimate:
    return Estimate(summary.name, summary.quality.value, *summary.quality.interval)


def _points(share: float) -> str:
    return f"{share * 100:+.1f}"


def _range(comparison: Comparison) -> str:
    low, high = comparison.difference.interval
    return f"{_points(low)} to {_points(high)}"
