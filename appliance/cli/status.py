"""`status`: the appliance at a glance, in plain text or JSON.

Rules: no alternate screen and no colour, so that it works on a serial line, in a log and with a
screen reader; the profile is named first when it is the lab's; `--watch` adds rates.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli import metrics
from appliance.cli.connect import admin_client
from appliance.cli.output import Output, prints, safe, size, state, table
from appliance.client import AdminClient
from appliance.clock import SystemClock, iso
from appliance.errors import Refused, RequestRefused, ServerUnreachable
from appliance.text import many
from appliance.wire.admin.models import STATUS, Status, use_of, why_not
from appliance.wire.admin.usage import LOAD
from tui.rates import History

_SECONDS_BETWEEN = 2.0


@click.command()
@click.option("--watch", is_flag=True, help="Repeat every two seconds. With rates, until ctrl-c.")
@prints
def status(output: Output, data: Path, watch: bool) -> None:
    """Show server, models, log and host."""
    if watch and output.as_json:
        raise click.UsageError("--watch and --json exclude each other.")
    if watch:
        _watch(data)
        return
    with admin_client(data) as client:
        found = client.call(STATUS)
    output.data(found, lines(found))


def _watch(data: Path) -> None:
    history = History()
    for turn in itertools.count():
        if turn:
            time.sleep(_SECONDS_BETWEEN)
            click.echo()
        click.echo(iso(SystemClock().wall_us()))
        try:
            # Never the app in this process: a watcher must not hold the lock that a starting
            # server needs.
            with admin_client(data, needs_server=True) as client:
                for line in look(client, history):
                    click.echo(line)
        except ServerUnreachable as error:  # it may come back
            click.echo(f"[!] down: {safe(error.message)}")


def look(client: AdminClient, history: History) -> Iterator[str]:
    """From the second look on with rates."""
    yield from lines(client.call(STATUS))
    before = history.newest
    try:
        history.add(client.call(LOAD))
    except (Refused, RequestRefused):
        return  # an older server tells none
    if history.newest is not None and history.newest is not before and history.load is not None:
        yield ""
        yield from metrics.lines(metrics.rates(history.newest, history.load, _SECONDS_BETWEEN))


def lines(found: Status) -> Iterator[str]:
    """The status for a person."""
    up = f", up {duration(found.uptime_seconds)}" if found.state != "stopped" else ""
    schema = f" (schema {found.schema_version})" if found.schema_version else ""  # an older server
    yield f"appliance {found.version}{schema}  {found.profile.upper()}  {state(found.state)}{up}"
    if found.profile == "lab":
        yield "  LAB: keys made on this machine; loopback only; not for production"
    verb = "listens on" if found.state != "stopped" else "will listen on"
    if found.url:
        yield f"server  {verb} {safe(found.url)}, host {safe(found.host.name) or '-'}"
    head = found.audit
    yield (
        f"audit   {state('refusing' if head.latched else 'ok')} {many(head.entries, 'entry')}, "
        f"root {head.root[:16]}, {head.unwitnessed} unwitnessed"
        + (f" since {head.witnessed}" if head.witnessed else "")
    )
    if head.replayed or head.difference is not None:
        same = f"{head.replayed_same} of {many(head.replayed, 'answer')} the same"
        differs = "" if head.difference is None else f", entry {head.difference} is not"
        yield f"replays {state('ok' if head.difference is None else 'failed')} {same}{differs}"
    host = found.host
    yield (
        f"host    {safe(host.cpu)}, {many(host.cores, 'core')}, {size(host.memory_available)} of "
        f"{size(host.memory)} memory free, {size(host.disk_free)} disk free"
    )
    indexes = f", {found.indexes_mib} by indexes of collections" if found.indexes_mib else ""
    yield f"memory  {found.taken_mib} of {found.budget_mib} MiB for models are taken{indexes}"
    libraries = {safe(w.variant) for w in found.workers if w.device.kind == "cpu" and w.variant}
    if libraries:
        yield f"engine  processor, backend {', '.join(sorted(libraries))}"
    yield f"you     {found.role}"
    yield ""
    yield from _models(found)
    told = {incident.message: incident for incident in found.incidents}
    for alarm in found.alarms:
        yield f"[!] {safe(alarm)}"
        if (incident := told.get(alarm)) is not None:
            yield f"    {incident.code} since {incident.since}; {safe(incident.next)}"


def _models(found: Status) -> Iterator[str]:
    workers = {worker.model: worker for worker in found.workers}
    rows = []
    for shown in found.models:
        worker = workers.get(shown.id)
        rows.append(
            (
                safe(shown.id),
                safe(shown.kind) or "-",
                state(worker.state if worker else shown.state),
                f"{worker.running}/{worker.slots}" if worker else "-",
                str(worker.queued) if worker else "-",
                f"{worker.kv_used}/{worker.n_ctx}" if worker else "-",
                f"{worker.threads}/{worker.threads_most}" if worker else "-",
                f"{worker.memory_mib} MiB" if worker else "-",
                safe(use_of(shown)),
                safe(why_not(shown)),
            )
        )
    if not rows:
        yield "No artifacts. Import one with `appliance artifact import DIR`."
        return
    heads = (
        "ARTIFACT",
        "KIND",
        "STATE",
        "RUNNING",
        "QUEUED",
        "KV",
        "THREADS",
        "MEMORY",
        "USE",
        "WHY",
    )
    yield from table(heads, rows)
    for worker in found.workers:
        if worker.device.kind != "cpu":
            yield f"{safe(worker.model)} computes on {safe(worker.device.text)}"
            yield f"  backend {safe(worker.device.backend)}"
        if 0 < worker.threads < worker.threads_most:
            yield (
                f"{safe(worker.model)} computes with {worker.threads} of {worker.threads_most} "
                "threads: it is faster so, since something else uses the cores"
            )


def duration(seconds: int) -> str:
    """A time span in its two largest units."""
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min")]
    shown = [f"{count} {unit}" for count, unit in [*parts, (seconds % 60, "s")] if count]
    return " ".join(shown[:2]) or "0 s"
