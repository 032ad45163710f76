"""The page of an evaluation: all candidates with intervals, and whether a classifier is enough."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.evals.details import CandidateDetails
from appliance.evals.evidence import Retrieval
from appliance.evals.outcomes import Outcome
from appliance.evals.summary import Comparison, Summary
from appliance.reports import charts
from appliance.reports.axes import plain
from appliance.reports.charts import ChartEstimate, Placed, Series
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section, Tone
from appliance.statistics import groups, verdict
from appliance.text import between, many, percent, points, within_points
from appliance.wire.admin.results import PacksMeasured

_MOST_FLIPS: Final = 25
"""Flips that the page lists on each side; the counts are whole."""
_TEXT: Final = 120
"""Characters of an answer that the page shows."""


@dataclass(frozen=True)
class ItemFlip:
    """An item that one of two candidates, `side`, has right and the other one has not."""

    item: str
    group: str
    side: str
    expected: str
    first: str
    second: str


@dataclass(frozen=True)
class Evaluated:
    """Data of a page.

    Attributes:
        baseline: name of the compared candidate without a language model.
        ceiling: agreement of repeated labels, which no score can pass for long; None if unknown.
        confusions: columns and counts by candidate, of the form `labels`.
        made_of: digests and versions, for the last table.
        notes: candidates that could not be measured, and why.
        flips: of the best compared candidate and the baseline.
        retrieval: of the task's search; None if unknown.
        language_models: names of the candidates that are one, or an adapter or blend of one.
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
    details: Mapping[str, CandidateDetails] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    flips: Sequence[ItemFlip] = ()
    packs: Mapping[str, PacksMeasured] = field(default_factory=dict)
    retrieval: Retrieval | None = None
    language_models: Collection[str] = ()


def page(evaluated: Evaluated) -> ReportPage:
    """Build the page."""
    best = max(evaluated.summaries, key=lambda s: s.quality.value)
    answer, tone = conclusion(evaluated)
    return ReportPage(
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


def conclusion(evaluated: Evaluated) -> tuple[str, Tone]:
    """The sentence says if a language model earns its cost."""
    if few := verdict.too_few(min(s.quality.groups for s in evaluated.summaries)):
        return few, "muted"
    if not evaluated.comparisons:
        return (f"{evaluated.baseline} is measured; no language model was.", "muted")
    sides = [(verdict.side_of(c.difference), c) for c in evaluated.comparisons]
    first = max((c for _, c in sides), key=lambda c: c.difference.value)
    better = [c for side, c in sides if side == "better"]
    if better:
        first = max(better, key=lambda c: c.difference.value)
        gain, ends = points(first.difference.value), within_points(first.difference.interval)
        return (
            f"{first.first} is better than {evaluated.baseline} by {gain} points "
            f"({ends}). This is the split that candidates are chosen on: only a gate on "
            "sealed items can certify it.",
            "good",
        )
    if any(side == "open" for side, _ in sides):
        return (
            f"{evaluated.baseline} is enough so far: no candidate is shown to be better. Closest "
            f"is {first.first}: {points(first.difference.value)} points "
            f"({within_points(first.difference.interval)}).",
            "muted",
        )
    answer = (
        f"{evaluated.baseline} is enough: every candidate that was compared with it is shown to be "
        "worse."
    )
    beaten = {c.first for c in evaluated.comparisons}
    if evaluated.language_models and beaten.issuperset(evaluated.language_models):
        answer += " Do not use a language model for this task as it is."
    return answer, "no"


def flips(
    comparisons: Sequence[Comparison], outcomes: Mapping[str, Sequence[Outcome]]
) -> list[ItemFlip]:
    """Flips of the baseline and the best other candidate."""
    if not comparisons:
        return []
    best = max(comparisons, key=lambda c: c.difference.value)
    return flips_of(best, outcomes[best.first], outcomes[best.second])


def flips_of(
    comparison: Comparison, ones: Sequence[Outcome], others: Sequence[Outcome]
) -> list[ItemFlip]:
    """Flips of both sides, the first side's first."""
    one, other = ({o.item: o for o in side} for side in (ones, others))
    sides = [
        *((item, comparison.first) for item in comparison.gained),
        *((item, comparison.second) for item in comparison.lost),
    ]
    return [
        ItemFlip(item, one[item].group, side, one[item].expected, one[item].said, other[item].said)
        for item, side in sides
    ]


def _facts(evaluated: Evaluated, best: Summary) -> tuple[Fact, ...]:
    facts = [
        Fact("best candidate", best.name),
        Fact(evaluated.metric, percent(best.quality.value), between(*best.quality.interval)),
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
            (
                "Every candidate answered the same items. A failure counts as wrong.",
                f"By the labels of this dataset, each group counting once, for the population that "
                f"the groups of {evaluated.split} were drawn from: each interval of a candidate "
                "holds with 95 % confidence, those of the differences all together.",
            ),
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
                _table(evaluated, ordered),
            ),
        )
    ]
    sections.append(_speed(evaluated, ordered))
    if evaluated.comparisons:
        sections.append(_compared(evaluated))
    if evaluated.flips:
        sections.append(_flipped(evaluated))
    if best.slices:
        sections.append(_sliced(evaluated, ordered))
    if cited := _cited(evaluated, ordered):
        sections.append(cited)
    if fields := _by_field(evaluated, ordered):
        sections.append(fields)
    if levels := _by_level(evaluated, ordered):
        sections.append(levels)
    if evaluated.confusions and best.name in evaluated.confusions:
        drawn = charts.confusion("Confusion", evaluated.labels, evaluated.confusions[best.name])
        caption = f"Answers of {best.name}: counts of items."
        sections.append(Section("Mistakes", (), (Figure(drawn, caption),)))
    if sure := next((s for s in ordered if s.reliability), None):
        sections.append(_calibrated(sure))
    if evaluated.packs:
        sections.append(_packs(evaluated))
    if evaluated.notes:
        sections.append(Section("Not measured", tuple(evaluated.notes)))
    return sections


def _table(evaluated: Evaluated, ordered: Sequence[Summary]) -> ReportTable:
    columns = ["candidate", ">quality", ">95 % interval", ">in form"]
    labels = bool(evaluated.labels)
    columns += [">macro-F1", ">95 % interval"] if labels else []
    columns += [">calibration error", ">95 % interval"]
    rows = []
    for s in ordered:
        more = evaluated.details.get(s.name, CandidateDetails())
        row = [
            s.name,
            *_told(s.quality),
            "-" if more.adherence is None else percent(more.adherence.value),
        ]
        row += _told(more.macro_f1) if labels else []
        row += _told(s.calibration_error)
        rows.append(tuple(row))
    return ReportTable(tuple(columns), tuple(rows), "The same figures as text")


def _speed(evaluated: Evaluated, ordered: Sequence[Summary]) -> Section:
    rows = tuple(
        (
            s.name,
            plain(s.documents_per_second),
            f"{plain(s.p50)} s",
            f"{plain(s.p95)} s",
            plain(s.tokens / s.items),
            _size(evaluated.memory.get(s.name, 0)),
            ", ".join(f"{count} {code}" for code, count in s.failures.items()) or "none",
        )
        for s in ordered
    )
    columns = (
        "candidate", ">documents/s", ">p50", ">p95", ">tokens an answer", ">memory", ">failures",
    )  # fmt: skip
    return Section(
        "Speed and memory",
        (
            "Documents per second by the time that all answers took together. Memory: of a model "
            "the most that its process has held, of a classifier its coefficients.",
        ),
        (ReportTable(columns, rows),),
    )


def _size(count: int) -> str:
    if not count:
        return "-"
    return f"{count / (1 << 20):,.0f} MiB" if count >= 1 << 20 else f"{count / 1024:,.1f} KiB"


def _compared(evaluated: Evaluated) -> Section:
    told = f"{100 * evaluated.comparisons[0].confidence:.3g}"
    rows = tuple(
        (
            c.first,
            points(c.difference.value),
            within_points(c.difference.interval),
            str(len(c.gained)),
            str(len(c.lost)),
        )
        for c in sorted(evaluated.comparisons, key=lambda c: -c.difference.value)
    )
    columns = (
        "candidate", ">points", f">interval, {told} %", ">only it right",
        ">only the baseline right",
    )  # fmt: skip
    return Section(
        f"Against {evaluated.baseline}",
        (
            "Paired by item, weighted by group. All intervals hold together with 95 % confidence. "
            "An interval that holds 0 leaves open which is better.",
        ),
        (ReportTable(columns, rows),),
    )


_ITEMS: Final = "Flips"
"""The section of the page that shows items and answers."""


def without_items(html: str) -> str:
    """The page without the section that shows items and answers.

    Texts in a page are escaped, so that none of them ends the section.
    """
    begin = html.find(f"<section>\n<h2>{_ITEMS}</h2>")
    if begin < 0:
        return html
    end = html.index("</section>\n", begin) + len("</section>\n")
    return html[:begin] + html[end:]


def _flipped(evaluated: Evaluated) -> Section:
    sides = dict.fromkeys(flip.side for flip in evaluated.flips)
    shown = [
        flip
        for side in sides
        for flip in [flip for flip in evaluated.flips if flip.side == side][:_MOST_FLIPS]
    ]
    rows = tuple(
        (f.item, f.group, f.side, f.expected[:_TEXT], f.first[:_TEXT], f.second[:_TEXT])
        for f in shown
    )
    best = max(evaluated.comparisons, key=lambda c: c.difference.value)
    columns = ("item", "group", "right", "expected", best.first, best.second)
    return Section(
        _ITEMS,
        (
            f"{many(len(evaluated.flips), 'item')} that {best.first} or "
            f"{evaluated.baseline} has right and "
            f"the other one has not; {len(shown)} of them are listed.",
        ),
        (ReportTable(columns, rows),),
    )


def _sliced(evaluated: Evaluated, ordered: Sequence[Summary]) -> Section:
    shown = [ordered[0], *(s for s in ordered[1:] if s.name == evaluated.baseline)]
    parts: list[ReportTable | Figure] = []
    for one in shown:
        rows = [ChartEstimate(name, e.value, *e.interval) for name, e in one.slices.items()]
        drawn = charts.intervals("Quality by slice", rows, axis_name="quality")
        parts.append(Figure(drawn, f"{one.name} by stratum."))
    names = list(ordered[0].slices)
    table = tuple((s.name, *(percent(s.slices[name].value) for name in names)) for s in ordered)
    columns = ("candidate", *(f">{name}" for name in names))
    return Section("Slices", (), (*parts, ReportTable(columns, table, "All candidates by stratum")))


def _cited(evaluated: Evaluated, ordered: Sequence[Summary]) -> Section | None:
    parts: list[ReportTable] = []
    found = evaluated.retrieval
    if found is not None:
        measures = (
            ("nDCG@10", found.ndcg),
            ("recall@10", found.recall),
            (f"recall of the {many(found.passages, 'passage')} that a model is given", found.given),
        )
        head = (f"search by {found.ranking or 'nothing'}", ">value", ">95 % interval")
        parts.append(ReportTable(head, tuple((name, *_told(value)) for name, value in measures)))
    told = [(s.name, evaluated.details.get(s.name, CandidateDetails())) for s in ordered]
    rows = tuple(
        (name, *_told(more.evidence), *_told(more.verified), *_told(more.citation_precision))
        for name, more in told
        if more.evidence is not None
    )
    if rows:
        columns = (
            "candidate", ">answers with evidence", ">95 %", ">quotations that verify", ">95 %",
            ">from a relevant document", ">95 %",
        )  # fmt: skip
        parts.append(ReportTable(columns, rows))
    if not parts:
        return None
    questions = (
        "" if found is None else f"{many(found.questions, 'question')} name their documents. "
    )
    return Section(
        "Evidence",
        (
            f"{questions}Documents count in the search, not passages. A quotation verifies when it "
            "is in a passage, letter by letter; any other is taken out of the answer.",
        ),
        tuple(parts),
    )


def _told(estimate: groups.GroupMean | None) -> tuple[str, str]:
    if estimate is None:
        return "-", "-"
    return percent(estimate.value), between(*estimate.interval)


def _by_level(evaluated: Evaluated, ordered: Sequence[Summary]) -> Section | None:
    told = [s for s in ordered if evaluated.details.get(s.name, CandidateDetails()).levels]
    if not told:
        return None
    names = list(evaluated.details[told[0].name].levels)
    found = [(s.name, evaluated.details[s.name].levels) for s in told]
    rows = tuple(
        (name, *(part for level in names for part in _told(levels[level])))
        for name, levels in found
    )
    columns = ("candidate", *(part for name in names for part in (f">{name}", ">95 % interval")))
    said = "The share of answers that belong to the same as the expected label, weighted by group."
    return Section("Levels", (said,), (ReportTable(columns, rows),))


def _by_field(evaluated: Evaluated, ordered: Sequence[Summary]) -> Section | None:
    told = [s for s in ordered if evaluated.details.get(s.name, CandidateDetails()).fields]
    if not told:
        return None
    names = list(evaluated.details[told[0].name].fields)
    rows = tuple(
        (s.name, *(percent(evaluated.details[s.name].fields[name].value) for name in names))
        for s in told
    )
    return Section(
        "Fields",
        ("The share of right values of each field, weighted by group.",),
        (ReportTable(("candidate", *(f">{name}" for name in names)), rows),),
    )


def _calibrated(summary: Summary) -> Section:
    parts = [(at, e.value, *e.interval) for at, e in summary.reliability]
    ends = (parts[0][0], parts[-1][0])
    rows = [
        Series("right", tuple((p[0], p[1]) for p in parts), dots=True),
        Series("95 % limits", tuple((p[0], p[2]) for p in parts), "muted"),
        Series("", tuple((p[0], p[3]) for p in parts), "muted"),
        Series("as sure as right", tuple((end, end) for end in ends), "good"),
    ]
    drawn = charts.lines(
        "calibration", rows, x_name="confidence", y_name="right answers", x_form=percent
    )
    caption = (
        f"Answers of {summary.name} in {many(len(parts), 'part')} by confidence. Below "
        "the dotted line it "
        "is surer than it is right."
    )
    return Section("Confidence", (), (Figure(drawn, caption),))


def _packs(evaluated: Evaluated) -> Section:
    rows = []
    for model, packs in evaluated.packs.items():
        for name, found in (("general", packs.general), ("refusals", packs.refusals)):
            rows.append((model, name, percent(found.quality), between(*found.interval)))
        rows += [
            (model, f"frozen text, {language}", f"{one.nats_per_token:.4f}", "nats a token")
            for language, one in packs.frozen.items()
        ]
    return Section(
        "Packs",
        (
            "The models by themselves, on 80 easy questions, 40 requests of which half are to be "
            "refused, and two texts. These are ours and small: they show that a model lost much, "
            "never that it lost little.",
        ),
        (ReportTable(("model", "pack", ">result", ">95 % interval"), tuple(rows)),),
    )


def _drawn(summary: Summary) -> ChartEstimate:
    return ChartEstimate(summary.name, summary.quality.value, *summary.quality.interval)
