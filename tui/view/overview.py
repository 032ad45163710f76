"""Content of the overview: charts, models, engines, the log and the host.

Rules: pure; every chart has its newest value, its unit and the value of its top next to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from appliance.wire.admin.models import Model, Status, Worker
from appliance.wire.admin.usage import CurrentLoad
from tui import chart
from tui.columns import Column, table
from tui.rates import RatePoint
from tui.text import Cell, alarm, cell, indented, line, quiet, state
from tui.view.units import clock, count, duration, rate, seconds, size

MODEL_COLUMNS: Final = (
    Column("MODEL", 0, least=16, most=44),
    Column("STATE", 14),
    Column("KIND", 8, drop=2),
    Column("ADDED", 19, drop=1),
    Column("DIGEST", 16, drop=3),
)
WORKER_COLUMNS: Final = (
    Column("ENGINE", 0, least=12, most=44),
    Column("STATE", 12),
    Column("KV USE", 13, right=True),
    Column("RUN", 5, right=True),
    Column("QUEUE", 5, right=True),
    Column("MEMORY", 9, right=True, drop=1),
    Column("RESTARTS", 8, right=True, drop=2),
    Column("THREADS", 7, right=True, drop=3),
    Column("PID", 7, right=True, drop=5),
    Column("CPU CODE", 10, drop=6),
)
_ALARMS: Final = 4
_LABEL: Final = 11
_VALUE: Final = 22


@dataclass(frozen=True)
class Gauge:
    """One chart.

    Attributes:
        value: of a point; in units of `unit`.
        least: the top is never lower.
        fixed: the top is always `least`.
    """

    label: str
    value: Callable[[RatePoint], float]
    told: Callable[[RatePoint], str]
    top: Callable[[float], str]
    least: float
    fixed: bool = False


GAUGES: Final = (
    Gauge(
        "tokens", lambda p: p.tokens, lambda p: f"{rate(p.tokens)} tok/s",
        lambda top: f"{top:.0f} tok/s", 10.0,
    ),
    Gauge(
        "queue", lambda p: float(p.queued), lambda p: f"{p.queued} waiting, {p.running} run",
        lambda top: f"{top:.0f}", 5.0,
    ),
    Gauge("KV use", lambda p: p.kv, lambda p: f"{p.kv:.0%}", lambda _: "100%", 1.0, True),
    Gauge(
        "first token", lambda p: p.ttft_p95 or 0.0,
        lambda p: f"p50 {seconds(p.ttft_p50)} p95 {seconds(p.ttft_p95)}", seconds, 0.1,
    ),
    Gauge(
        "CPU own", lambda p: p.own_cpu, lambda p: f"{_steps(p.own_cpu)} of the host",
        lambda _: "100%", 1.0, True,
    ),
    Gauge(
        "CPU host", lambda p: p.host_cpu, lambda p: _steps(p.host_cpu),
        lambda _: "100%", 1.0, True,
    ),
    Gauge("RAM host", lambda p: p.memory, lambda p: _steps(p.memory), lambda _: "100%", 1.0, True),
)  # fmt: skip


def gauges(
    points: Sequence[RatePoint],
    load: CurrentLoad | None,
    width: int,
    height: int,
    *,
    ascii_only: bool,
) -> list[Content]:
    """The charts, beside each other where there is room for two.

    Args:
        height: lines of each chart.
    """
    newest = points[-1] if points else RatePoint()
    columns = 2 if width >= 110 else 1
    each = (width - 2 * (columns - 1)) // columns
    made = [_gauge(gauge, points, newest, each, height, ascii_only=ascii_only) for gauge in GAUGES]
    made += [
        _gpu(index, gpu_line, each) for index, gpu_line in enumerate(_gpus(load, each, ascii_only))
    ]
    shown: list[Content] = []
    for at in range(0, len(made), columns):
        blocks = made[at : at + columns]
        tall = max(len(block) for block in blocks)
        for row in range(tall):
            parts = [block[row] if row < len(block) else Content("") for block in blocks]
            padded = [part.pad_right(max(0, each - part.cell_length)) for part in parts]
            shown.append(Content("  ").join(padded).rstrip())
    return shown


def _gauge(
    gauge: Gauge,
    points: Sequence[RatePoint],
    newest: RatePoint,
    width: int,
    height: int,
    *,
    ascii_only: bool,
) -> list[Content]:
    top_room = 9
    room = max(8, width - _LABEL - _VALUE - top_room - 6)
    values = [_quiet(gauge, point) for point in points][-room:]
    top = gauge.least if gauge.fixed else chart.scale(values, gauge.least)
    drawn = chart.chart(values, room, height, top, ascii_only=ascii_only)
    told = cell(gauge.told(newest)) if points else quiet("-")
    made = []
    for number, text in enumerate(drawn):
        last = number == height - 1
        label = quiet(gauge.label if last else "").pad_right(0)
        left = label.pad_right(_LABEL - label.cell_length)
        value = told if last else Content("")
        right = quiet(gauge.top(top) if number == 0 else "")
        made.append(
            left
            + "  "
            + value.pad_right(max(0, _VALUE - value.cell_length))
            + "  "
            + Content.styled(text, "$primary")
            + "  "
            + right
        )
    return made


def _quiet(gauge: Gauge, point: RatePoint) -> float:
    """Shares in steps of five percent, so that a host at rest does not redraw the screen."""
    value = gauge.value(point)
    return round(value * 20) / 20 if gauge.fixed else value


def _steps(share: float) -> str:
    return f"{round(share * 20) * 5}%"


def _gpus(load: CurrentLoad | None, width: int, ascii_only: bool) -> list[Content]:
    shown = []
    for gpu in load.gpus if load else ():
        used = chart.bar(gpu.memory_used, gpu.memory, max(8, width // 4), ascii_only=ascii_only)
        busy = "" if gpu.busy_percent is None else f"{gpu.busy_percent}% busy"
        memory = f"{size(gpu.memory_used)} of {size(gpu.memory)}"
        shown.append(line(cell(gpu.name, limit=30), Content.styled(used, "$primary"), memory, busy))
    return shown


def _gpu(index: int, content: Content, width: int) -> list[Content]:
    label = quiet(f"GPU {index}")
    return [(label.pad_right(_LABEL - label.cell_length) + "  " + content).truncate(width)]


def models(status: Status, width: int) -> list[Content]:
    """The models, and why each refused one was refused."""
    if not status.models:
        return [quiet("No models. Press 0 to import one from a stick.")]
    head, *made = table(MODEL_COLUMNS, map(_model_row, status.models), width)
    shown = [head]
    for content, model in zip(made, status.models, strict=True):
        shown.append(content)
        if model.code:
            shown += indented(why(model), width)
    return shown


def _model_row(model: Model) -> Sequence[Cell]:
    return (
        model.id, state(model.state), model.kind or "-",
        clock(model.created) if model.created else "-", (model.digest or "-")[:16],
    )  # fmt: skip


def why(model: Model) -> str:
    """Why a model is not as it should be, and what to do."""
    reason = ": ".join(part for part in (model.code, model.message) if part)
    return " ".join(part for part in (f"why: {reason}", model.hint) if part)


def workers(status: Status, width: int) -> list[Content]:
    """The engine processes."""
    if not status.workers:
        return [quiet("No engines: no model is loaded.")]
    return table(WORKER_COLUMNS, map(worker_row, status.workers), width)


def worker_row(worker: Worker) -> Sequence[Cell]:
    """One engine process."""
    used = 100 * worker.kv_used // worker.n_ctx if worker.n_ctx > 0 else 0
    return (
        worker.model,
        state(worker.state),
        f"{used}% of {count(worker.n_ctx)}",
        f"{worker.running}/{worker.slots}",
        str(worker.queued),
        size(worker.memory_mib << 20),
        str(worker.restarts),
        f"{worker.threads}/{worker.threads_most}" if worker.threads_most else "-",
        "-" if worker.pid is None else str(worker.pid),
        worker.variant,
    )


def audit(status: Status) -> list[Content]:
    """Describe the log: writable or not, its head, and a witness's last look."""
    head = status.audit
    writable = (
        line(state("refusing"), head.latched) if head.latched else line(state("ok"), "writable")
    )
    seen = f"{count(head.unwitnessed)} not witnessed" + (
        f" since {head.witnessed}" if head.witnessed else ""
    )
    return [line(writable, f"{count(head.entries)} entries", seen), line("root", head.root)]


def host(status: Status) -> list[Content]:
    """The machine and where the data are."""
    facts = status.host
    models_take = f"models take {size(status.taken_mib << 20)} of {size(status.budget_mib << 20)}"
    if status.indexes_mib:
        models_take += f", indexes {size(status.indexes_mib << 20)} of that"
    listens = "will listen on" if status.state == "stopped" else "listens on"
    named = [line(f"host {facts.name}", f"{listens} {status.url}")] if status.url else []
    return [
        *named,
        line(
            facts.cpu,
            f"{facts.cores} cores",
            f"kernel {facts.kernel}",
            f"up {duration(status.uptime_seconds)}",
        ),
        line(
            f"{size(facts.memory)} memory",
            *([models_take] if status.budget_mib else []),
            f"{facts.disk_free >> 30} GiB disk free",
            f"data {status.data}",
        ),
    ]


def alarms(status: Status) -> list[Content]:
    """List the alarms for a person, with the next step; where it is a lot, how much."""
    told, most = status.alarms, _ALARMS
    steps = {incident.message: incident.next for incident in status.incidents}
    more = [f"{len(told)} alarms, the first {most}; appliance status has all"]
    shown = [alarm(text) for text in (more if len(told) > most else [])]
    return shown + [
        line(alarm(text), quiet(steps[text])) if text in steps else alarm(text)
        for text in told[:most]
    ]
