"""What the overview says: a status in, words and rows out.

Rules: pure; nothing is sanitised yet, that is done where text becomes `Content`; numbers have
units; words that change without meaning (seconds of the time up) are left out, so that an idle
appliance sends nothing over the line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.wire.admin import Model, Status, Worker
from tui.link import Link, LinkState
from tui.text import Cell, Column, cell, state

MODEL_COLUMNS: Final = (
    Column("MODEL", 0, least=24),
    Column("STATE", 14),
    Column("LOADED", 6, drop=1),
    Column("DIGEST", 16, drop=2),
    Column("ADDED", 20, drop=3),
)
WORKER_COLUMNS: Final = (
    Column("MODEL", 0),
    Column("STATE", 13),
    Column("PID", 7, right=True, drop=3),
    Column("KV USE", 14, right=True),
    Column("RUN", 5, right=True),
    Column("QUEUE", 5, right=True),
    Column("RESTARTS", 8, right=True, drop=2),
    Column("MEMORY", 10, right=True, drop=4),
    Column("KERNEL", 10, drop=5),
)


@dataclass(frozen=True)
class ModelRow:
    """A row of the models table, and below it why the model was refused."""

    cells: Sequence[Cell]
    why: str


def headline(status: Status, *, readonly: bool) -> list[Cell]:
    """Who this is: version, profile, state, the caller's role, time up."""
    words: list[Cell] = [
        f"appliance {status.version}",
        cell(status.profile.upper(), "bold $text-warning" if status.profile == "lab" else ""),
        state(status.state),
        f"up {duration(status.uptime_seconds)}",
        f"you: {status.role}",
    ]
    return [*words, "read-only"] if readonly else words


def model_row(model: Model) -> ModelRow:
    """One artifact of the store."""
    loaded = "yes" if model.loaded else "no"
    cells = (model.id, state(model.state), loaded, (model.digest or "-")[:16], model.created or "-")
    reason = ": ".join(part for part in (model.code, model.message) if part)
    return ModelRow(cells, " ".join(part for part in (reason, model.hint) if part))


def worker_row(worker: Worker) -> Sequence[Cell]:
    """One engine process."""
    used = 100 * worker.kv_used // worker.n_ctx if worker.n_ctx > 0 else 0
    return (
        worker.model,
        state(worker.state),
        "-" if worker.pid is None else str(worker.pid),
        f"{used}% of {worker.n_ctx}",
        f"{worker.running}/{worker.slots}",
        str(worker.queued),
        str(worker.restarts),
        f"{worker.memory_mib} MiB",
        worker.variant,
    )


def audit_lines(status: Status) -> list[tuple[Cell, ...]]:
    """Whether the log can be written, and its head."""
    head = status.audit
    writable: tuple[Cell, ...] = (
        (state("refusing"), head.latched) if head.latched else (state("ok"), "writable")
    )
    return [(*writable, f"{head.entries} entries"), (f"root {head.root}",)]


def host_lines(status: Status) -> list[tuple[Cell, ...]]:
    """The machine and where the data are."""
    host = status.host
    free = f"{size(host.memory_available)} of {size(host.memory)} memory free"
    return [
        (host.cpu, f"{host.cores} cores"),
        (free, f"{size(host.disk_free)} disk free"),
        (f"data {status.data}",),
    ]


def trouble(link: Link, now: float, data: str) -> list[str]:
    """What is wrong with the connection, how old the data are, and what to do; empty when live."""
    found = link.state(now)
    if found in (LinkState.LIVE, LinkState.CONNECTING):
        return []
    said = []
    if link.error is not None:
        said += [link.error.message, link.error.hint]
    elif found is LinkState.STALE:
        said.append("The server takes long to answer.")
    if found is LinkState.DOWN and link.error and link.error.code == "server_unreachable":
        said.append(f"Next: appliance serve --data {data}")
    return said


def link_words(link: Link, now: float) -> list[Cell]:
    """The state of the connection and, unless it is live, the age of what is shown."""
    found = link.state(now)
    age = link.age(now)
    if found in (LinkState.LIVE, LinkState.CONNECTING):
        return [state(found)]
    return [state(found), "no data yet" if age is None else f"data {age:.0f} s old"]


def duration(seconds: int) -> str:
    """A time span to the minute, in its two largest units."""
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    shown = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if n]
    return " ".join(shown[:2]) or "<1 min"


def size(count: int) -> str:
    """Bytes to a tenth of a GiB."""
    return f"{count / (1 << 30):.1f} GiB"
