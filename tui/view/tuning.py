"""The tunings screen: plans, the curve of losses, results, several side by side.

Rules: quality comes with its interval; the words say that dev chose it; a result of another form is
shown as any job's.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from textual.content import Content

from appliance.text import percent, points, within, within_points
from appliance.types import JsonValue
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.results import (
    AdapterTuned,
    FieldRight,
    TunedCandidate,
    TuningPlanned,
)
from appliance.wire.admin.tunings import LossRun, Paired, Tuned, TuningsCompared
from tui.chart import plot
from tui.columns import Column, table
from tui.text import Cell, alarm, cell, indented, labelled, line, quiet, state
from tui.view import jobs
from tui.view.intervals import drawn_column, interval_cell, measured
from tui.view.units import clock, count, duration, many, spaced

COLUMNS: Final = (
    Column("ID", 5, right=True),
    Column("FOR", 5, drop=4),
    Column("STATE", 13),
    Column("PROGRESS", 18),
    Column("LEFT", 9, right=True, drop=2),
    Column("AGE", 6, right=True, drop=1),
    Column("TASK AND DATA", 0, least=12),
    Column("BY", 10, drop=3),
)
_ROOM: Final = 12
"""Cells of a label."""
_CURVE: Final = 6
"""Lines of a curve beside other things; where it has the screen it has twice as many."""
_WIDEST: Final = 100
"""Cells of a curve."""
_CANDIDATES: Final = (
    Column("ON DEV", 0, least=20, most=28),
    Column("VALUE", 6, right=True),
    Column("95 %", 14, drop=3),
    drawn_column(1),
    Column("POINTS", 7, right=True),
    Column("AGAINST THE FIRST", 18, drop=2),
)
_SHARES: Final = (
    Column("LEARNED FROM", 0, least=14, most=20),
    Column("VALUE", 6, right=True),
    Column("95 %", 14),
    drawn_column(1),
)
_FIELDS: Final = (
    Column("FIELD", 0, least=14, most=28),
    Column("RIGHT", 6, right=True),
    Column("95 %", 14, drop=2),
    drawn_column(1),
    Column("WHERE STATED", 14, right=True, drop=3),
)
_SEEDS: Final = (
    Column("SEED", 0, least=6, most=14),
    Column("ON DEV, NATS", 12, right=True),
    Column("BEST STEP", 9, right=True, drop=1),
    Column("STEPS", 6, right=True, drop=2),
)
_PAIRED: Final = (
    Column("WHAT", 0, least=14, most=40),
    Column("POINTS", 7, right=True),
    Column("95 %", 16),
    Column("P", 8, right=True, drop=1),
    Column("ONLY ONE RIGHT", 16, drop=2),
)
_TUNED: Final = (
    Column("ID", 5, right=True),
    Column("TUNED", 6, right=True),
    Column("95 %", 14),
    drawn_column(4),
    Column("BEST", 10, drop=5),
    Column("VALUE", 6, right=True, drop=5),
    Column("TOOK", 8, right=True, drop=1),
    Column("MiB", 7, right=True, drop=2),
    Column("kJ", 7, right=True, drop=3),
    Column("TASK AND DATA", 0, least=14, most=40),
)


def row(job: Job, now: float, *, ascii_only: bool) -> Sequence[Cell]:
    """One tuning."""
    return (
        str(job.id),
        "plan" if planned(job) else "train",
        *jobs.row(job, now, ascii_only=ascii_only)[2:],
    )


def planned(job: Job) -> bool:
    """True for a plan."""
    return bool(job.params.get("plan"))


def summary(found: Sequence[Job], kept: int, marked: int) -> Content:
    """Write the counts."""
    more = [f"{count(marked)} marked"] if marked else []
    return jobs.counted("tuning", found, kept, *more)


def detail(
    job: Job, runs: Sequence[LossRun], now: float, width: int, *, ascii_only: bool
) -> list[Content]:
    """The tuning under the cursor: its progress, its cost, or its result."""
    result = job.result
    if isinstance(result, TuningPlanned):
        return plan(result, width)
    if not isinstance(result, AdapterTuned):
        said = jobs.detail(job, now, width)
        return said + _curve(runs, width, _CURVE, ascii_only=ascii_only)
    said = [cell(result.answer, "bold")] if result.answer else []
    said += _candidates(result, width, ascii_only=ascii_only)
    return [*said, *_facts(result, width), *_curve(runs, width, _CURVE, ascii_only=ascii_only)]


def whole(
    job: Job, runs: Sequence[LossRun], now: float, width: int, *, ascii_only: bool
) -> list[Content]:
    """Everything that is known of a tuning."""
    result = job.result
    said = [line(cell(f"tuning {job.id}", "bold"), state(job.state), job.title)]
    said += labelled("when", f"{clock(job.created)} by {job.actor}", width, _ROOM)
    drawn = _curve(runs, width, 2 * _CURVE, ascii_only=ascii_only)
    if isinstance(result, TuningPlanned):
        return [*said, Content(""), *plan(result, width)]
    if not isinstance(result, AdapterTuned):
        return [*said, Content(""), *jobs.detail(job, now, width), *drawn]
    said += cell(result.answer, "bold", limit=2_000).wrap(width)
    said += [Content(""), *_candidates(result, width, ascii_only=ascii_only)]
    said += [Content(""), *_facts(result, width), *drawn]
    said += _fields(result, width, ascii_only=ascii_only)
    said += _shares(result, width, ascii_only=ascii_only) + _seeds(result, width)
    said += [Content(""), *_pairs("setting", result.settings, width)]
    said += [Content(""), *_digests(result, width)]
    return [*said, Content(""), *labelled("adapter", result.adapter, width, _ROOM)]


def plan(result: TuningPlanned, width: int) -> list[Content]:
    """The work, the time and the memory that a tuning would take."""
    rows = (
        f"{count(result.rows)} of at most {many(result.longest, 'token')}, "
        f"{count(result.dev)} of dev"
    )
    work = f"{many(result.steps, 'step')}, {many(result.tokens, 'token')}"
    took = f"at most {duration(result.seconds)}, as busy as the machine was"
    return [
        *labelled("rows", rows, width, _ROOM),
        *labelled("work", work, width, _ROOM),
        *labelled("time", took, width, _ROOM),
        *labelled("memory", result.memory, width, _ROOM),
        *_pairs("setting", result.settings, width),
    ]


def compared(found: TuningsCompared, width: int, *, ascii_only: bool) -> list[Content]:
    """Tunings side by side."""
    said = table(_TUNED, [_tuned(each, ascii_only=ascii_only) for each in found.tunings], width)
    if not found.same_dev:
        said.append(alarm("Measured on other items of dev: do not hold these figures together."))
    for pair in found.paired:
        said += [Content(""), *_paired(pair, width)]
    said.append(Content(""))
    if not found.differing:
        return [*said, quiet("All settings are the same.")]
    each = max(8, min(40, (width - 22) // len(found.tunings) - 2))
    columns = (
        Column("DIFFERS", 0, least=12, most=20),
        *(Column(str(one.id), each) for one in found.tunings),
    )
    return [*said, *table(columns, [(one.name, *one.values) for one in found.differing], width)]


def _paired(found: Paired, width: int) -> list[Content]:
    """On the same items of dev."""
    named = cell(f"{found.tuning} minus {found.against}", "bold")
    if found.reason:
        return [named, *indented(f"not comparable: {found.reason}", width)]
    on = f"paired on {many(found.items, 'item')} of dev in {many(found.groups, 'group')}"
    left = f", {count(found.left_out)} left out" if found.left_out else ""
    rows = [
        (one.what, points(one.value), within_points(one.interval), f"{one.p_value:.2g}",
         f"{one.gained} against {one.lost}")
        for one in found.differences
    ]  # fmt: skip
    return [line(named, quiet(on + left)), *table(_PAIRED, rows, width)]


def _tuned(found: Tuned, *, ascii_only: bool) -> Sequence[Cell]:
    low, high = found.interval
    return (
        str(found.id),
        f"{found.value:.3f}",
        within(found.interval),
        interval_cell(low, found.value, high, ascii_only=ascii_only),
        found.best,
        f"{found.best_value:.3f}",
        f"{spaced(found.seconds, ',.0f')} s",
        count(found.peak_mib),
        "-" if found.joules is None else f"{found.joules / 1000:.1f}",
        found.title,
    )


def _curve(runs: Sequence[LossRun], width: int, height: int, *, ascii_only: bool) -> list[Content]:
    """The run that trains or trained last: a line of steps, `o` where dev was measured."""
    run = runs[-1] if runs else None
    if run is None or not run.points:
        return []
    steps = [(float(step), loss) for step, loss, _ in run.points]
    on_dev = [(float(step), dev) for step, _, dev in run.points if dev is not None]
    heights = [value for _, value in (*steps, *on_dev)]
    step, loss, _ = run.points[-1]
    told = [cell(run.name, "bold"), cell(f"step {step}"), cell(f"loss {loss:.4f}")]
    if on_dev:
        told.append(cell(f"dev {on_dev[-1][1]:.4f}"))
    told.append(quiet("nats a token; o is dev"))
    scales = (f"{max(heights):.2f}", *[""] * (height - 2), f"{min(heights):.2f}")
    room = max(map(len, scales))
    cells = max(10, min(_WIDEST, width - room - 2))
    drawn = plot(steps, on_dev, cells, height, ascii_only=ascii_only)
    ends = (f"step {steps[0][0]:.0f}", f"step {steps[-1][0]:.0f}")
    apart = " " * max(1, cells - sum(map(len, ends)))
    return [
        line(*told),
        *(
            line(quiet(scale.rjust(room)), cell(one, "$primary"))
            for scale, one in zip(scales, drawn, strict=True)
        ),
        line(" " * room, quiet(ends[0] + apart + ends[1])),
    ]


def _candidates(result: AdapterTuned, width: int, *, ascii_only: bool) -> list[Content]:
    rows = [_candidate(each, best=result.best, ascii_only=ascii_only) for each in result.candidates]
    return table(_CANDIDATES, rows, width) if rows else []


def _candidate(found: TunedCandidate, *, best: str, ascii_only: bool) -> Sequence[Cell]:
    name = found.kind + ("" if found.weight is None else f", weight {found.weight:.2f}")
    return (
        cell(name, "bold" if found.kind == best else ""),
        *measured(found.value, found.interval, ascii_only=ascii_only),
        points(found.difference) if found.paired else "-",
        within_points(found.difference_interval) if found.paired else "-",
    )


def _facts(result: AdapterTuned, width: int) -> list[Content]:
    dev, checks, joules = result.dev, result.checks, result.joules
    on_dev = line(
        f"{dev.metric.replace('_', ' ')} on dev, which chose",
        quiet(f"n = {many(dev.groups, 'group')}"),
        quiet(f"learned from {many(result.data.train, 'row')}"),
    )
    proof = (
        f"{checks.nll_served:.4f} nats a token against {checks.nll_trained:.4f} in the trainer; "
        f"{count(checks.greedy_places)} best tokens the same; "
        f"{percent(checks.stop_token)} of answers end by themselves"
    )
    energy = "energy not known" if joules is None else f"{joules / 1000:.1f} kJ"
    took = f"{duration(result.seconds)}, {count(result.peak_mib)} MiB at the peak, {energy}"
    said = [
        *labelled("measured", on_dev, width, _ROOM),
        *labelled("served", proof, width, _ROOM),
        *labelled("took", took, width, _ROOM),
    ]
    if result.curve:
        said += labelled("more rows", f"would help: {result.more_data_helps}", width, _ROOM)
    return said


def _fields(result: AdapterTuned, width: int, *, ascii_only: bool) -> list[Content]:
    rows = [
        (
            one.field,
            *measured(one.value, one.interval, ascii_only=ascii_only),
            _stated(one),
        )
        for one in result.fields
    ]
    return [Content(""), *table(_FIELDS, rows, width)] if rows else []


def _stated(one: FieldRight) -> str:
    return "-" if one.stated_value is None else f"{one.stated_value:.3f} of {count(one.stated)}"


def _shares(result: AdapterTuned, width: int, *, ascii_only: bool) -> list[Content]:
    rows = [
        (
            f"{percent(point.share)}, {many(point.rows, 'row')}",
            *measured(point.metric, point.interval, ascii_only=ascii_only),
        )
        for point in result.curve
    ]
    return [Content(""), *table(_SHARES, rows, width)] if rows else []


def _seeds(result: AdapterTuned, width: int) -> list[Content]:
    rows = [
        (
            str(each.seed) + (", kept" if each.seed == result.seed else ""),
            f"{each.dev_nats:.4f}",
            count(each.best_step),
            count(each.steps),
        )
        for each in result.seeds
    ]
    return [Content(""), *table(_SEEDS, rows, width)] if rows else []


def _digests(result: AdapterTuned, width: int) -> list[Content]:
    base, task, data = result.base, result.task, result.data
    found = {
        f"base {base.id}": base.oms_root,
        "its file": base.gguf_sha256,
        f"task {task.id}": task.digest,
        "dataset": data.digest,
        "rows": data.rows_sha256,
        "rows of dev": data.dev_sha256,
        "adapter": result.adapter_sha256,
        **result.versions,
    }
    return [
        part
        for name, value in found.items()
        for part in labelled(name[:30], quiet(value), width, 30)
    ]


def _pairs(label: str, found: Mapping[str, JsonValue], width: int) -> list[Content]:
    words = ", ".join(f"{name} {value}" for name, value in found.items())
    return labelled(label, words, width, _ROOM, limit=1_000) if words else []
