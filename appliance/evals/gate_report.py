"""The page of a gate: the verdict, the classifier's quality, candidate and incumbent.

Rule: while the split has looks left, every figure is rounded to the point, and no item is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.evals.baselines import LINEAR, MAJORITY
from appliance.evals.gate_subject import NONE
from appliance.evals.judging import Coarse, confidence
from appliance.evals.pairs import MILLION
from appliance.reports import charts
from appliance.reports.charts import ChartEstimate
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section, Tone
from appliance.statistics.proportions import corrected
from appliance.trust.statements.evaluation import GateFound, pack_verdicts
from appliance.trust.statements.specification import Specification
from appliance.wire.admin.results import GateResult, PackJudged

_CALLED: Final = {
    MAJORITY: "always answering the commonest label",
    NONE: "nothing, so that the floors decide",
}

_TONES: Final[Mapping[str, Tone]] = {"pass": "good", "fail": "no", "underpowered": "muted"}


@dataclass(frozen=True)
class GatePageFacts:
    """Data of a page.

    Attributes:
        qualities: the classifier first.
        certificate: its id; None without one.
        issued: alpha of this appliance's other certificates of gates of the last year.
        rows: of train; 0 without it.
    """

    wanted: Specification
    found: GateFound
    qualities: Mapping[str, Coarse]
    look: int
    certificate: str | None
    made_of: Mapping[str, str]
    when: str
    issued: tuple[int, ...] = ()
    rows: int = 0


def called(incumbent: str) -> str:
    """An incumbent's name; a baseline's is its rule."""
    return _CALLED.get(incumbent, incumbent)


def sentence(judged: GatePageFacts) -> str:
    """The verdict in words."""
    wanted, found = judged.wanted, judged.found
    other = called(wanted.incumbent)
    if found.verdict == "pass" and wanted.incumbent == NONE:
        return f"Pass: {wanted.task} reaches every floor; it was compared with nothing."
    if found.verdict == "pass":
        compared = f"{wanted.task} is not worse than {other} by {_points(_margin(wanted))}"
        return f"Pass: {compared} points or more, and reaches every floor."
    if found.verdict == "fail" and found.comparison == "fail":
        worse = f"{wanted.task} is worse than {other}"
        return f"Fail: {worse} by more than {_points(_margin(wanted))} points."
    if found.verdict == "fail":
        verdicts = {(n or "the whole"): v for n, v in found.floors.items()}
        verdicts |= {f"pack {n}": v for n, v in pack_verdicts(wanted, found.packs).items()}
        missed = ", ".join(name for name, v in verdicts.items() if v == "fail")
        return f"Fail: the floor of {missed} is not reached."
    return f"Underpowered: {found.groups} groups cannot decide. {_more(found)}"


def _more(found: GateFound) -> str:
    if not found.groups_needed or found.groups_range is None:
        why = "it looks more than 2 points worse, or does not look as if it reached a floor"
        return f"No number of groups is known to, because {why}: improve the candidate."
    (low, high), likely = found.groups_range, found.groups_needed
    if found.comparison != "underpowered":
        if high is None:
            return f"A floor takes at least {low} fresh groups by what was seen."
        return f"A floor takes about {likely} fresh groups, {low} to {high} by what was seen."
    worse = f"about {high}" if high else "no number that is known"
    return (
        f"A split of about {likely} fresh groups decides in 80 of 100 cases if the candidate is as "
        f"good; about {low} if it is 2 points better, {worse} if it is 2 points worse."
    )


def page(judged: GatePageFacts) -> ReportPage:
    """The report."""
    wanted, found = judged.wanted, judged.found
    drawn = [ChartEstimate(name, *_shares(q)) for name, q in judged.qualities.items()]
    return ReportPage(
        title=f"Gate of {wanted.task} on {wanted.dataset}, {wanted.split}",
        answer=sentence(judged),
        tone=_TONES[found.verdict],
        facts=(
            Fact("verdict", found.verdict),
            Fact(
                "difference",
                _points(found.difference_micros),
                f"points; {_points(found.low_micros)} to {_points(found.high_micros)}, "
                f"{_level(judged)}",
            ),
            Fact("margin", _points(_margin(wanted)), "points, fixed before"),
            Fact("groups", str(found.groups), "independent; the verdict counts these"),
            Fact(
                "look",
                f"{judged.look} of {wanted.looks}",
                f"at alpha {wanted.alpha_of(judged.look):.3g}",
            ),
            Fact("certificate", (judged.certificate or "none")[:16]),
        ),
        figure=Figure(
            charts.intervals(f"{wanted.metric} to the point", drawn, axis_name=wanted.metric),
            f"Means over items weighted by group; whiskers are {_level(judged)} intervals. "
            "Logistic regression is advice: if it is as good, a classifier is enough.",
        )
        if drawn
        else None,
        sections=(_measured(judged), _terms(judged)),
        made_of=tuple(judged.made_of.items()),
        when=judged.when,
    )


def _measured(judged: GatePageFacts) -> Section:
    rows = tuple(
        (name, _percent(q.value), f"{_percent(q.low)} to {_percent(q.high)}")
        for name, q in judged.qualities.items()
    )
    failures = (
        f"Without an answer, counted as wrong: {judged.found.failures} of the candidate, "
        f"{judged.found.incumbent_failures} of the incumbent. Could not be asked for a reason of "
        f"the appliance, counted on neither side: {judged.found.unasked}."
    )
    said = [_holds_for(judged), failures]
    if judged.found.agreed:
        agreed, items = judged.found.agreed, judged.found.items
        said.append(
            f"{' and '.join(judged.wanted.raters)} labelled {items - agreed} of {items} items, "
            "blind: those on which the two sides differ. Where they agree the difference is 0 "
            "whatever is right, so that the interval is that of all labels, and no side's quality "
            "is known."
        )
        return Section("Measured", tuple(said))
    if judged.rows:
        said.append(
            f"{LINEAR.capitalize()} learned from all {judged.rows:,} rows of train, and from n of "
            "them where its name says so: compare the one that had as many rows as the candidate."
        )
    columns = ("what answered", ">quality", f">interval, {_level(judged)}")
    return Section("Measured", tuple(said), (ReportTable(columns, rows),))


def _holds_for(judged: GatePageFacts) -> str:
    wanted = judged.wanted
    return (
        "By the labels of this dataset, each group counting once, for the population that its "
        f"sealed groups were drawn from: a pass is wrong in at most "
        f"{100 * wanted.alpha_of(judged.look):.3g} of 100 such looks, and in "
        f"{100 * wanted.alpha_micros / MILLION:.3g} of 100 splits over all looks."
    )


def _level(judged: GatePageFacts) -> str:
    return f"{100 * confidence(judged.wanted, judged.look):.4g} %"


def _terms(judged: GatePageFacts) -> Section:
    wanted, found = judged.wanted, judged.found
    rows = [
        ("signed by", f"{wanted.name}, {wanted.time}"),
        ("metric", wanted.metric),
        ("alpha over all looks", f"{wanted.alpha_micros / MILLION:g}"),
        ("items", "all" if wanted.items == "all" else f"one of each group, seed {wanted.seed}"),
        ("compared with", called(wanted.incumbent)),
        ("comparison", found.comparison),
        ("interval of the difference", found.interval or "one pseudo-group (older version)"),
    ]
    for name, floor in sorted(wanted.floors.items()):
        rows.append((f"floor {name}".strip(), f"{_percent(floor)}: {found.floors[name]}"))
    for name, told in packs(wanted, found, judged.look).items():
        low, high = (f"{100 * limit:.0f}" for limit in told.interval)
        share = f"{_percent(told.floor)}: {told.verdict}, {told.right} of {told.items}"
        rows.append((f"pack {name}", f"{share} items right, {low} to {high} % ({_level(judged)})"))
    passed = [*judged.issued, *([wanted.alpha_micros] if judged.certificate else [])]
    many = (
        f"Certificates of gates that are kept here of the last 365 days: {len(passed)}. By the "
        f"alpha of each, {sum(passed) / MILLION:g} of them may be false."
    )
    return Section(
        "Terms",
        ("A person signed these terms before an item was answered.", many),
        (ReportTable(("term", "value"), tuple(rows)),),
    )


def packs(wanted: Specification, found: GateFound, look: int) -> dict[str, PackJudged]:
    """Each pack's verdict.

    The items are fixed and decide as they are; as a sample of such items they have an interval.
    """
    verdicts, level = pack_verdicts(wanted, found.packs), confidence(wanted, look)
    return {
        name: PackJudged(
            floor=wanted.packs[name],
            right=pack.right,
            items=pack.items,
            interval=corrected(pack.right, pack.items, level),
            verdict=verdicts[name],
        )
        for name, pack in sorted(found.packs.items())
    }


def result(judged: GatePageFacts, statement: str, advice: Coarse | None) -> GateResult:
    """The result of the job.

    Args:
        statement: id of the signed statement.
    """
    wanted, found = judged.wanted, judged.found
    return GateResult.model_validate({
        "verdict": found.verdict, "answer": sentence(judged), "certificate": judged.certificate,
        "metric": wanted.metric, "task": wanted.task, "candidate": wanted.model,
        "incumbent": wanted.incumbent, "difference": found.difference_micros / MILLION,
        "interval": (found.low_micros / MILLION, found.high_micros / MILLION),
        "margin": wanted.margin_micros / MILLION, "groups": found.groups,
        "groups_needed": found.groups_needed, "groups_needed_range": found.groups_range,
        "unasked": found.unasked, "agreed": found.agreed, "floors": dict(found.floors),
        "packs": packs(wanted, found, judged.look), "statement": statement,
        "advice": None if advice is None else advice.value / MILLION,
    })  # fmt: skip


def _margin(wanted: Specification) -> int:
    return wanted.margin_micros


def _shares(quality: Coarse) -> tuple[float, float, float]:
    return quality.value / MILLION, quality.low / MILLION, quality.high / MILLION


def _points(micros: int) -> str:
    return f"{micros / 10_000:g}"


def _percent(micros: int) -> str:
    return f"{micros / 10_000:g} %"
