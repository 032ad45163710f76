"""The page of a tuning: the best on dev, the losses, the result of each check. Pure.

Rules: it is made of the training record only; each figure has its interval; dev chose the
candidates it measures, so the page promises nothing and names the next commands.
"""

from dataclasses import dataclass
from typing import Final

from appliance.reports import charts
from appliance.reports.axes import plain
from appliance.reports.charts import ChartEstimate, Series
from appliance.reports.page import Fact, Figure, ReportPage, ReportTable, Section, Tone
from appliance.statistics import verdict
from appliance.text import between, many, percent, points, within_points
from appliance.tuning.candidates import UNTUNED
from appliance.tuning.checks import GAP_NATS, GAP_SHARE, LEAD_NATS, STOPPED
from appliance.tuning.comparing import PairedTunings
from appliance.tuning.proof import GREEDY_ROWS
from appliance.wire.admin.results import TrainingRecord, TunedCandidate, TuningChecks

NAMES: Final = {
    UNTUNED: "the untuned model",
    "classifier": "the classifier",
    "model": "the tuned model",
    "blend": "the blend",
}
_HELPS: Final = {
    "yes": "More rows would help: all of them are shown to be better than half of them.",
    "no": "More rows would not help: twice as many are shown to gain less than a point.",
    "unknown": "It is unknown whether more rows would help: these items of dev show neither.",
}
_ALONE: Final = ("candidate", ">quality", ">95 %")
_PAIRED: Final = (">points against the first", ">95 %", ">p")
_CHOSEN: Final = "Dev chose it, so this promises nothing: the gate measures on items that did not."


@dataclass(frozen=True)
class TuningPageFacts:
    """Data of a page.

    Attributes:
        adapter: the directory of the adapter on its host.
        held: comparison with another tuning; None without one.
    """

    number: int
    facts: TrainingRecord
    adapter: str
    signed: bool
    held: PairedTunings | None = None


def page(told: TuningPageFacts) -> ReportPage:
    """Build the page."""
    facts = told.facts
    answer, tone = conclusion(facts)
    task = facts.task
    return ReportPage(
        title=f"Tuning {told.number}: {task.id} version {task.version} on {facts.base.id}",
        answer=answer,
        tone=tone,
        facts=_facts(facts),
        figure=_losses(facts),
        sections=tuple(
            section
            for section in (
                _candidates(facts),
                _held(told.held),
                _fields(facts),
                _curve(facts),
                _checks(facts.checks),
                _training(facts),
                _took(facts),
                _next(told),
            )
            if section is not None
        ),
        made_of=_made_of(facts),
        when=facts.trained,
    )


def conclusion(facts: TrainingRecord) -> tuple[str, Tone]:
    """The result in a sentence or two."""
    rows = facts.candidates
    best = facts.chosen
    name = NAMES[best.kind]
    reached = f"{name.capitalize()} reaches {_estimate(best)} on dev"
    if len(rows) == 1:
        return f"{reached}; nothing simpler was measured with it. {_CHOSEN}", "muted"
    simplest = rows[0]
    if best is simplest:
        closest = max(rows[1:], key=lambda row: row.difference)
        tone: Tone = "no" if closest.difference_interval[1] < 0 else "muted"
        return (
            f"{name.capitalize()} is enough so far: no tuned candidate is ahead of it on dev. "
            f"Closest is {NAMES[closest.kind]}: {_difference(closest)}.",
            tone,
        )
    held = f"against {NAMES[simplest.kind]} {_difference(best)}"
    if best.difference_interval[0] > 0 and facts.dev.groups >= verdict.FEWEST:
        return f"{reached}, {held}. {_CHOSEN}", "good"
    return f"{reached}, {held}: which is better stays open. {_CHOSEN}", "muted"


def next_commands(
    number: int, adapter: str, base: str, task: str, *, signed: bool = False
) -> tuple[str, ...]:
    """Commands from an adapter to a task that the gate can judge."""
    name = f"{base}:{task}"
    return (
        *(() if signed else (f"appliance artifact sign {adapter} --key KEY",)),
        f"appliance artifact import {adapter} --id {name}",
        f"appliance artifact approve {name} --as NAME --key KEY --meaning WHY",
        f"appliance model load {name}",
        f"appliance tune offer {number} TASK_DIR --as {name}",
    )


def _facts(facts: TrainingRecord) -> tuple[Fact, ...]:
    best, joules, data = facts.chosen, facts.joules, facts.data
    taught = f"{data.taught:,} of them by a teacher" if data.taught else "items of train"
    return (
        Fact("best on dev", NAMES[best.kind].removeprefix("the ")),
        Fact(facts.dev.metric, percent(best.value), between(*best.interval)),
        Fact("groups", str(facts.dev.groups), "of dev, independent; intervals count these"),
        Fact("learned from", f"{many(data.train, 'row')}", taught),
        Fact("took", _time(facts.seconds), f"at most {facts.peak_mib:,} MiB in the trainer"),
        Fact(
            "energy",
            "not known" if joules is None else f"{joules / 1000:,.1f} kJ",
            "this host does not tell it" if joules is None else "of the whole host",
        ),
    )


def _losses(facts: TrainingRecord) -> Figure | None:
    ordered = sorted(facts.seeds, key=lambda one: one.seed != facts.seed)
    drawn = []
    steps = tuple((point.step, point.loss) for point in ordered[0].losses)
    if len(steps) > 1:
        drawn.append(Series(f"each step, seed {ordered[0].seed}", steps, "muted"))
    on_dev = [
        tuple((point.step, point.dev) for point in one.losses if point.dev is not None)
        for one in ordered
    ]
    shown = [points for points in on_dev if points]
    several = ", each seed" if len(shown) > 1 else ""
    drawn += [
        Series("" if n else f"dev{several}", points, "accent", dots=True)
        for n, points in enumerate(shown)
    ]
    if not drawn:
        return None
    drawing = charts.lines(
        "loss by step", drawn, x_name="step", y_name="nats a token", y_form=plain
    )
    return Figure(
        drawing,
        "The loss of each step, before it, and the loss on items of dev, which are not learned. "
        f"The matrices after step {ordered[0].best_step} are exported.",
    )


def _candidates(facts: TrainingRecord) -> Section:
    rows = facts.candidates
    metric = facts.dev.metric
    drawn = charts.intervals(
        f"{metric} of each candidate on dev",
        [ChartEstimate(_name(row), row.value, *row.interval) for row in rows],
        axis_name=metric,
    )
    columns = (*_ALONE, *_PAIRED) if len(rows) > 1 else _ALONE
    table = ReportTable(columns, tuple(_row(row)[: len(columns)] for row in rows))
    data = facts.data
    learned = (
        "The untuned model has the same prompts"
        if rows[0].kind == UNTUNED
        else f"Each learned the same {many(data.train, 'row')}"
    )
    sentences = [
        f"{learned}, and each answered the same {many(data.dev, 'item')} of dev, the model as it "
        "serves. Differences are paired by item and weighted by group; an interval that holds 0 "
        "leaves open which is better; p is McNemar's."
    ]
    if seen := data.dev_seen:  # a record of before has none
        sentences.append(
            f"Dev repeats a learned text in {many(seen, 'item')}: there, to remember is enough."
        )
    if judged := data.judged_seen:
        sentences.append(
            f"Groups that judge later repeat the text of {many(judged, 'group')} that "
            "it learned from, "
            "under another name: `appliance dataset check` lists what is in two splits."
        )
    if any(row.weight is not None for row in rows):
        sentences.append(
            "The blend multiplies the distributions of both over the labels; its weight was fitted "
            "on dev, which flatters it."
        )
    caption = "Mean over items weighted by group, with a 95 % interval."
    return Section("Candidates on dev", tuple(sentences), (Figure(drawn, caption), table))


def _row(row: TunedCandidate) -> tuple[str, ...]:
    """The simplest candidate has no comparison."""
    alone = (_name(row), percent(row.value), between(*row.interval))
    if not row.paired:
        return (*alone, "-", "-", "-")
    paired = (points(row.difference), within_points(row.difference_interval))
    return (*alone, *paired, f"{row.p_value:.2g}")


def _held(held: PairedTunings | None) -> Section | None:
    if held is None:
        return None
    title = f"Against tuning {held.against}"
    if held.reason:
        return Section(title, (f"Not comparable: {held.reason}.",))
    rows = tuple(
        (
            what,
            points(one.difference.value),
            within_points(one.difference.interval),
            f"{one.p_value:.2g}",
            f"{len(one.gained)}, {len(one.lost)}",
        )
        for what, one in held.found
    )
    left = f"; {held.left_out} that only one of them answered are left out" if held.left_out else ""
    said = (
        f"This tuning minus tuning {held.against}, on the {many(held.items, 'item')} of dev in "
        f"{many(held.groups, 'group')} that both answered{left}. Differences are paired "
        "by item and "
        "weighted by group; an interval that holds 0 leaves open which is better; p is McNemar's, "
        "which counts items as if they were independent."
    )
    columns = ("", ">points", ">95 %", ">p", ">only this right, only that")
    return Section(title, (said,), (ReportTable(columns, rows),))


def _fields(facts: TrainingRecord) -> Section | None:
    if not facts.fields:  # a record of before has none
        return None
    rows = tuple(
        (
            one.field,
            percent(one.value),
            between(*one.interval),
            "-" if one.stated_value is None else f"{percent(one.stated_value)} of {one.stated}",
            "-" if one.stated_interval is None else between(*one.stated_interval),
            "-" if one.untuned is None else percent(one.untuned),
        )
        for one in facts.fields
    )
    said = (
        "Share of right answers for each field of the tuned model, on all items and on those "
        "that state it: a field that is mostly null is mostly right without a word."
    )
    columns = ("field", ">right", ">95 %", ">where stated", ">95 %", ">untuned")
    return Section("Fields", (said,), (ReportTable(columns, rows),))


def _curve(facts: TrainingRecord) -> Section | None:
    points = facts.curve
    if not points:
        return None
    rows = [
        ChartEstimate(f"{percent(p.share)}, {p.rows:,} rows", p.metric, *p.interval) for p in points
    ]
    drawn = charts.intervals("Quality by rows", rows, axis_name=facts.dev.metric)
    table = tuple(
        (percent(p.share), f"{p.rows:,}", percent(p.metric), between(*p.interval)) for p in points
    )
    said = [_HELPS[facts.more_data_helps]]
    found = facts.doubling
    if found.groups:
        said.append(
            f"From half of them to all of them it gained {100 * found.doubling:+.1f} points "
            f"({within_points(found.interval)}, {many(found.groups, 'group')}); a curve gains less "
            "with each doubling."
        )
    caption = "The tuned model by itself, as it serves, on the same items of dev."
    columns = (">share", ">rows", ">quality", ">95 %")
    parts = (Figure(drawn, caption), ReportTable(columns, table))
    return Section("Learning curve", tuple(said), parts)


def _checks(found: TuningChecks) -> Section:
    limit = f"{100 * GAP_SHARE:g} % or {GAP_NATS:g} nat a token"
    rows: tuple[tuple[str, ...], ...] = (
        ("tokens of every row", "equal", "those that the server renders"),
        (
            "untrained model, trainer against server",
            f"{found.base_nll_gap:.4f} nats a token",
            f"at most {limit} and twice the standard error",
        ),
        (
            "adapter, trainer against server",
            f"{found.nll_trained:.4f} and {found.nll_served:.4f} nats a token, "
            f"{found.nll_gap:.4f} apart",
            f"at most {found.nll_gap_most:.4f}: {limit} and twice the standard error",
        ),
        (
            f"best token where the trainer's leads by {LEAD_NATS:g} nat",
            f"the same in {many(found.greedy_places, 'place')}",
            f"the same in each of {GREEDY_ROWS} rows",
        ),
        (
            "answers that end by themselves",
            percent(found.stop_token),
            f"at least {percent(STOPPED)} of those on dev",
        ),
    )
    if found.forgotten is not None:  # a record of before has none
        between = ""
        if found.forgotten_interval is not None:
            low, high = found.forgotten_interval
            between = f" ({low:+.2f} to {high:+.2f}, 95 %, {found.texts} sentences)"
        rows = (
            *rows,
            (
                "fixed texts outside the task",
                f"{found.texts_untuned:.2f} nats a token untuned, {found.texts_tuned:.2f} "
                f"tuned, {found.forgotten:+.2f}{between}",
                f"at most {found.forgotten_most:+.2f}",
            ),
        )
    said = (
        "Each was measured by the engine, file and tokens that serve. Had one failed, the run "
        "would have ended without an adapter."
    )
    return Section(
        "Served as trained", (said,), (ReportTable(("check", "measured", "must be"), rows),)
    )


def _training(facts: TrainingRecord) -> Section:
    rows = tuple(
        (
            str(one.seed) + (", exported" if one.seed == facts.seed else ""),
            f"{one.dev_nats:.4f}",
            str(one.best_step),
            str(one.steps),
            f"{one.train_seconds:,.0f} s",
        )
        for one in facts.seeds
    )
    if len(rows) > 1:
        said = (
            f"The seeds are {facts.spread_nats:.4f} nats a token apart on dev: that much of a "
            "difference is luck."
        )
    else:
        said = "One seed was trained, so how much is luck is not known: --seeds 3 measures it."
    columns = ("seed", ">dev, nats a token", ">best step", ">steps", ">trained for")
    settings = tuple((name, str(value)) for name, value in facts.settings.items())
    parts = (ReportTable(columns, rows), ReportTable(("setting", ">value"), settings))
    return Section("Training", (said,), parts)


def _took(facts: TrainingRecord) -> Section:
    joules = facts.joules
    trained = sum(one.train_seconds for one in facts.seeds)
    rows = (
        ("whole run, since its start or its last resumption", f"{facts.seconds:,.0f} s"),
        ("steps and evaluations of all seeds", f"{trained:,.0f} s"),
        ("most memory of the trainer", f"{facts.peak_mib:,} MiB"),
        ("energy of the whole host", "-" if joules is None else f"{joules:,.0f} J"),
        ("threads", str(facts.threads)),
    )
    return Section("Resources", (), (ReportTable(("", ">measured"), rows),))


def _next(told: TuningPageFacts) -> Section:
    facts = told.facts
    commands = next_commands(
        told.number, told.adapter, facts.base.id, facts.task.id, signed=told.signed
    )
    said = (
        "From here to a task that the gate can judge. As many people approve as the policy wants; "
        "the last command writes the task of the best candidate and prints what comes next."
    )
    return Section("Next", (said,), (ReportTable(("command",), tuple((one,) for one in commands)),))


def _made_of(facts: TrainingRecord) -> tuple[tuple[str, str], ...]:
    base, task, data = facts.base, facts.task, facts.data
    return (
        ("base", f"{base.id}, {base.oms_root}"),
        ("file of the base", base.gguf_sha256),
        ("task", f"{task.id} version {task.version}, {task.digest}"),
        ("dataset", data.digest + (", a draft" if data.draft else "")),
        ("rows that were learned", data.rows_sha256),
        *(("teacher", teacher) for teacher in data.teachers),
        ("rows of dev", data.dev_sha256),
        ("adapter", facts.adapter_sha256),
        *facts.versions.items(),
    )


def _name(row: TunedCandidate) -> str:
    weight = "" if row.weight is None else f", weight {row.weight:.2f}"
    return NAMES[row.kind].removeprefix("the ") + weight


def _estimate(row: TunedCandidate) -> str:
    return f"{percent(row.value)} ({between(*row.interval)})"


def _difference(row: TunedCandidate) -> str:
    return f"{points(row.difference)} points ({within_points(row.difference_interval)})"


def _time(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"
