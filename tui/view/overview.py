"""The overview: is it serving, how fast, who waits, what failed, what ends, what waits for me.

Rules: a chart has its axis, its unit and the time at both ends; green is what is proved good, not
what exists.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from textual.content import Content

from appliance.text import age, percent
from appliance.wire.admin import marks
from appliance.wire.admin.metering import UsageRow
from appliance.wire.admin.models import Model, Status, Worker
from appliance.wire.admin.usage import CurrentLoad
from tui import chart
from tui.columns import Column, table
from tui.rates import RatePoint
from tui.ring import NOW, Ring, Span, newest
from tui.text import Cell, alarm, cell, fitting_line, indented, line, quiet, spread, state
from tui.view.expiry import Ending, soon
from tui.view.units import clock, count, duration, iso, many, rate, seconds, since, size, until

MODEL_COLUMNS: Final = (
    Column("MODEL", 0, least=16, most=44),
    Column("STATE", 13),
    Column("RUN", 5, right=True),
    Column("QUEUE", 5, right=True),
    Column("KV USE", 13, right=True, drop=1),
    Column("MEMORY", 8, right=True, drop=2),
    Column("RESTARTS", 8, right=True, drop=3),
    Column("CPU CODE", 10, drop=6),
    Column("PID", 7, right=True, drop=5),
)
APP_COLUMNS: Final = (
    Column("APP", 0, least=12, most=36),
    Column("REQUESTS", 8, right=True),
    Column("FAILED", 6, right=True),
    Column("TOKENS", 9, right=True, drop=1),
    Column("SHARE", 12, drop=2),
)
_ALARMS: Final = 4
_APPS: Final = 6
_TALL: Final = 12
"""Lines of a panel from which on its number is drawn large."""


@dataclass(frozen=True)
class ChartedField:
    """One chart: a field of a point, its title, and a value with its unit."""

    field: str
    title: str
    told: Callable[[float], str]
    least: float


CHARTS: Final = (
    ChartedField("tokens", "written", lambda v: f"{v:.0f} tok/s", 10.0),
    ChartedField("ttft_p95", "first token, p95", seconds, 0.1),
    ChartedField("queued", "waiting for a turn", lambda v: f"{v:.3g}", 4.0),
    ChartedField("host_cpu", "processors", percent, 1.0),
)


@dataclass(frozen=True)
class PeopleWanted:
    """The work that waits for people, as the server said it last.

    Attributes:
        people: answers that wait for a person; `oldest` in seconds.
        apps: use of the last hour.
        uncounted: the newest entries of the log, which `apps` lacks.
    """

    people: int = 0
    oldest: float = 0.0
    labels: int = 0
    failed: int = 0
    endings: tuple[Ending, ...] = ()
    apps: tuple[UsageRow, ...] = ()
    uncounted: int = 0


def serving(
    points: Sequence[RatePoint],
    ring: Ring,
    span: Span,
    wall: float,
    width: int,
    height: int,
    *,
    ascii_only: bool,
) -> list[Content]:
    """Speed and queue, the most important number largest, then the charts, in `height` lines."""
    now = points[-1] if points else RatePoint()
    first = f"first token {seconds(now.ttft_p50)} p50, {seconds(now.ttft_p95)} p95"
    works = f"{now.running} running, {now.queued} waiting"
    use = f"KV {percent(round(now.kv, 2))}"
    speed = rate(now.tokens) if points else "-"
    if height >= _TALL and not ascii_only:
        big = [cell(row, "bold $primary") for row in chart.large(speed)]
        beside = [quiet("tok/s"), cell(works), line(first, use)]
        said = [fitting_line((a, b), width) for a, b in zip(big, beside, strict=True)]
    else:
        speed_said = cell(f"{speed} tok/s", "bold $primary")
        said = [fitting_line((speed_said, works, first, use), width)]
    return said + _charts(points, ring, span, wall, width, height - len(said), ascii_only)


def _charts(
    points: Sequence[RatePoint],
    ring: Ring,
    span: Span,
    wall: float,
    width: int,
    height: int,
    ascii_only: bool,
) -> list[Content]:
    columns = 2 if width >= 100 and height >= 14 else 1
    rows = 2 if columns == 2 else 1
    each, tall = (width - 2 * (columns - 1)) // columns, height // rows
    ends = _ends(span, wall)
    made: list[Content] = []
    for row in range(rows):
        blocks = []
        for series in CHARTS[row * columns : (row + 1) * columns]:
            values = (
                newest(points, series.field)
                if span is NOW
                else ring.series(span, series.field, wall)
            )
            if series.field == "host_cpu":  # in steps, so that a host at rest draws the same
                values = [None if v is None else round(v * 20) / 20 for v in values]
            drawn = chart.over_time(
                values, each, max(4, tall - (columns > 1)), ends, series.told,
                least=series.least, ascii_only=ascii_only,
            )  # fmt: skip
            titled = [quiet(series.title)] if columns > 1 else []
            blocks.append([*titled, *(cell(text, "$primary", limit=each) for text in drawn)])
        for parts in zip(*blocks, strict=True):
            padded = [part.pad_right(max(0, each - part.cell_length)) for part in parts]
            made.append(Content("  ").join(padded).rstrip())
    return made


def _ends(span: Span, wall: float) -> tuple[str, str]:
    shown = slice(5, 10) if span.whole > 2 * 86_400 else slice(11, 16)
    if span is NOW:
        return ("2 min ago", "now")
    return iso(wall - span.whole)[shown], f"{iso(wall)[shown]} UTC"


def needs(status: Status, waits: PeopleWanted, now: float, width: int) -> list[Content]:
    """The work that waits for a person, each with the key that leads there."""
    approve = [m for m in status.models if m.state == "verified" and "approve" in m.actions]
    bad = [m for m in status.models if m.state in ("refused", "suspended", "missing")]
    told: list[tuple[Cell, str]] = []
    if waits.people:
        words = f"{many(waits.people, 'answer')} for a person, oldest {age(waits.oldest)}"
        told.append((alarm(words), "p"))
    if bad:
        told.append((alarm(f"{many(len(bad), 'artifact')} unusable: {bad[0].id}"), "2"))
    if waits.failed:
        told.append((alarm(f"{many(waits.failed, 'job')} failed today"), "6"))
    told += [(_ending(one, now), "x") for one in soon(waits.endings, now)[:3]]
    if approve:
        told.append((f"{many(len(approve), 'artifact')} to approve: {approve[0].id}", "2"))
    if waits.labels:
        told.append((f"{many(waits.labels, 'queue')} to label", "t"))
    if not told:
        return [state("ok") + " nothing waits for a person"]
    return [spread(cell(words), cell(key, "bold"), width) for words, key in told]


def ahead(status: Status, waits: PeopleWanted, now: float, width: int, room: int) -> list[Content]:
    """Present troubles, then the next endings, in `room` lines."""
    near = len(soon(waits.endings, now))
    wrong = [
        (f"{marks.NEEDS_A_PERSON} {one.code} {one.subject}".strip(), age(since(one.since, now)))
        for one in status.incidents
    ]
    ends = [
        (f"{one.kind} {one.name}", duration(until(one.ends, now))) for one in waits.endings[near:]
    ]
    said: list[Content] = []
    for head, told in (("wrong now: i", wrong), ("expires next: x", ends)):
        most = room - len(said) - 2
        if told and most > 0:
            said += [Content(""), quiet(head)]
            said += [spread(cell(words), quiet(when), width) for words, when in told[:most]]
    return said


def beside(first: Sequence[Content], second: Sequence[Content], width: int) -> list[Content]:
    """The first in `width` cells."""
    rows = zip_longest(first, second, fillvalue=Content(""))
    return [a.pad_right(max(0, width - a.cell_length)) + Content(" " * 5) + b for a, b in rows]


def _ending(one: Ending, now: float) -> Cell:
    left = until(one.ends, now)
    said = f"{one.kind} {one.name} " + (f"expires in {duration(left)}" if left else "expired")
    return cell(f"! {said}", "$text-warning") if left else alarm(said)


def models(status: Status, width: int) -> list[Content]:
    """The models, and why each was refused."""
    if not status.models:
        return [quiet("No models. Press 0 to import one from a stick.")]
    engines = {worker.model: worker for worker in status.workers}
    found = [m for m in status.models if m.kind not in ("task", "dataset", "route")]
    head, *made = table(MODEL_COLUMNS, [_model_row(m, engines.get(m.id)) for m in found], width)
    shown = [head]
    for content, model in zip(made, found, strict=True):
        shown.append(content)
        if model.code:
            shown += indented(why(model), width)
    return shown


def _model_row(model: Model, worker: Worker | None) -> Sequence[Cell]:
    if worker is None:
        return model.id, state(model.state), "-", "-", "-", "-", "-", "-", "-"
    used = 100 * worker.kv_used // worker.n_ctx if worker.n_ctx > 0 else 0
    return (
        model.id,
        state(model.state),
        f"{worker.running}/{worker.slots}",
        str(worker.queued),
        f"{used} % of {count(worker.n_ctx)}",
        size(worker.memory_mib << 20),
        str(worker.restarts),
        worker.variant,
        "-" if worker.pid is None else str(worker.pid),
    )


def why(model: Model) -> str:
    """Why a model is not as it should be, and what to do."""
    reason = ": ".join(part for part in (model.code, model.message) if part)
    return " ".join(part for part in (f"why: {reason}", model.hint) if part)


def apps(waits: PeopleWanted, width: int, *, ascii_only: bool) -> list[Content]:
    """The apps of the last hour by their requests."""
    if waits.uncounted:
        return [quiet(f"Counting {many(waits.uncounted, 'entry')} of the log first.")]
    if not waits.apps:
        return [quiet("No requests in the last hour.")]
    found = sorted(waits.apps, key=lambda one: -one.requests)
    most = found[0].requests
    rows = [_app_row(one, most, ascii_only=ascii_only) for one in found[:_APPS]]
    more = [quiet(f"{len(found) - _APPS} more: u")] if len(found) > _APPS else []
    return [*table(APP_COLUMNS, rows, width), *more]


def _app_row(one: UsageRow, most: int, *, ascii_only: bool) -> Sequence[Cell]:
    drawn = chart.bar(one.requests, most, 12, ascii_only=ascii_only)
    tokens = count(one.prompt_tokens + one.completion_tokens)
    failed = alarm(count(one.failed)) if one.failed else cell("0")
    return one.name or "-", count(one.requests), failed, tokens, drawn


def audit(status: Status, width: int) -> list[Content]:
    """Writable or not, head, witness, answers done again."""
    head = status.audit
    writable = (
        line(state("refusing"), head.latched) if head.latched else line(state("ok"), "writable")
    )
    seen = f"{count(head.unwitnessed)} not witnessed" + (
        f" since {clock(head.witnessed)}" if head.witnessed else ""
    )
    said = [line(writable, f"{many(head.entries, 'entry')}"), line(seen)]
    if head.replayed or head.difference is not None:
        again = f"{count(head.replayed_same)} of {many(head.replayed, 'answer')} the same"
        good = head.difference is None
        said.append(line(state("ok" if good else "failed"), "computed again:", again))
    return [*said, line(quiet("root"), head.root).truncate(width, ellipsis=True)]


def host(
    status: Status, load: CurrentLoad | None, points: Sequence[RatePoint], width: int,
    *, ascii_only: bool,
) -> list[Content]:  # fmt: skip
    """The machine, its load, and the place of the data."""
    facts, now = status.host, points[-1] if points else RatePoint()
    room = max(8, min(24, width - 44))
    used = [
        _used("cpu", now.host_cpu, f"{_steps(now.own_cpu)} ours, {many(facts.cores, 'core')}"),
        _used("memory", now.memory, f"of {size(facts.memory)}"),
    ]
    bars = [
        line(
            quiet(name).pad_right(6 - len(name)),
            chart.bar(share, 1.0, room, ascii_only=ascii_only),
            _steps(share),
            told,
        )
        for name, share, told in used
    ]
    take = f"models take {size(status.taken_mib << 20)} of {size(status.budget_mib << 20)}"
    if status.indexes_mib:
        take += f", indexes {size(status.indexes_mib << 20)} of that"
    return [
        *bars,
        *(_gpu(gpu.name, gpu.memory_used, gpu.memory, gpu.busy_percent, room, ascii_only)
          for gpu in (load.gpus if load else ())),
        *([line(take)] if status.budget_mib else []),
        line(f"{facts.disk_free >> 30} GiB disk free", f"data {status.data}"),
        line(facts.cpu, f"kernel {facts.kernel}", f"up {duration(status.uptime_seconds)}"),
    ]  # fmt: skip


def _used(name: str, share: float, told: str) -> tuple[str, float, str]:
    return name, round(share * 20) / 20, told


def _steps(share: float) -> str:
    """In steps of five percent, so that a host at rest does not redraw the screen."""
    return f"{round(share * 20) * 5} %"


def _gpu(
    name: str, used: int, whole: int, busy: int | None, room: int, ascii_only: bool
) -> Content:  # fmt: skip
    drawn = chart.bar(used, whole, room, ascii_only=ascii_only)
    told = "" if busy is None else f"{busy} % busy"
    memory = f"{size(used)} of {size(whole)}"
    return line(quiet("gpu").pad_right(3), drawn, memory, told, cell(name))


def alarms(status: Status) -> list[Content]:
    """The alarms for a person, with the next step; where it is a lot, how much."""
    told, most = status.alarms, _ALARMS
    steps = {incident.message: incident.next for incident in status.incidents}
    more = [f"{many(len(told), 'alarm')}, the first {most}; i has all"]
    shown = [alarm(text) for text in (more if len(told) > most else [])]
    return shown + [
        line(alarm(text), quiet(steps[text])) if text in steps else alarm(text)
        for text in told[:most]
    ]
