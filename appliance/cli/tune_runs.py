"""`tune list`, `tune compare`, `tune report`: tunings that were begun, and what they came to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.job import finished
from appliance.cli.output import Output, page_option, prints, safe, state, table
from appliance.cli.tune_offer import KIND, tuning_of
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.text import many, points, within, within_points
from appliance.wire.admin import tunings as wire
from appliance.wire.admin.jobs import JOBS, Job, far
from appliance.wire.admin.tunings import MOST, Losses, Paired, TuningsCompared

_ID: Final = click.IntRange(1, (1 << 53) - 1)
_SHOWN: Final = 8
"""Steps of a run that are printed, besides those that measured dev."""


@click.command("list")
@connected()
def list_(output: Output, client: AdminClient) -> None:
    """List tunings and plans, newest first."""
    found = [job for job in client.call(JOBS, count=1_000).jobs if job.kind == KIND]
    rows = [
        (str(j.id), "plan" if _plan(j) else "train", state(j.state),
         safe(far(j.progress)) if j.state != "done" else "-", j.created, safe(j.title))
        for j in found
    ]  # fmt: skip
    head = ("ID", "WHAT FOR", "STATE", "PROGRESS", "SINCE", "TASK AND DATA")
    empty = ["No tunings. Start one with `appliance tune run TASK_DIR --data DATASET_DIR`."]
    output.data({"tunings": [j.model_dump() for j in found]}, table(head, rows) if rows else empty)


@click.command()
@click.argument("numbers", metavar="ID ID...", type=_ID, nargs=-1, required=True)
@prints
def compare(output: Output, data: Path, numbers: tuple[int, ...]) -> None:
    """Show tunings side by side.

    Their settings that differ, and each minus the first, item by item on dev.
    """
    if not 2 <= len(numbers) <= MOST:
        raise click.UsageError(f"Name 2 to {MOST} tunings.")
    with admin_client(data) as client:
        found = client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=list(numbers)))
    output.data(found, _compared(found))


@click.command()
@click.argument("job_id", metavar="[ID]", type=_ID, required=False)
@page_option
@click.option("--against", metavar="ID", type=_ID,
              help="Compare with this tuning. Item by item.")  # fmt: skip
@connected()
def report(
    output: Output, client: AdminClient, job_id: int | None, out: Path, against: int | None
) -> None:
    """Write a tuning's page as HTML.

    Without ID of the newest with an adapter.
    """
    number = _newest(client) if job_id is None else tuning_of(client, job_id).id
    output.page(out, client.call(wire.TUNING_REPORT, job_id=number, against=against).html)


def losses(found: Losses) -> list[str]:
    """Losses of the last run: some steps, and all that measured dev."""
    if not found.runs or not found.runs[-1].points:
        return []
    run = found.runs[-1]
    every = max(1, len(run.points) // _SHOWN)
    rows = [
        (safe(run.name), str(step), f"{loss:.3f}", "" if dev is None else f"{dev:.4f}")
        for n, (step, loss, dev) in enumerate(run.points)
        if dev is not None or n % every == 0 or n == len(run.points) - 1
    ]
    return table(("RUN", "STEP", "LOSS", "DEV"), rows)


def _newest(client: AdminClient) -> int:
    """The newest tuning that trained an adapter. Raises Refused (`report_missing`)."""
    for job in finished(client, KIND):
        if not _plan(job):
            return job.id
    raise Refused("report_missing", "No tuning has made an adapter yet.")


def _plan(job: Job) -> bool:
    return bool(job.params.get("plan"))


def _compared(found: TuningsCompared) -> Iterator[str]:
    rows = [
        (str(t.id), f"{t.value:.3f}", within(t.interval), safe(t.best), f"{t.best_value:.3f}",
         f"{t.dev_nats:.4f}", f"{t.seconds:.0f} s", f"{t.peak_mib} MiB",
         "-" if t.joules is None else f"{t.joules:.0f} J", safe(t.title))
        for t in found.tunings
    ]  # fmt: skip
    head = ("ID", "TUNED", "INTERVAL", "BEST", "ON DEV", "NATS", "TOOK", "PEAK", "ENERGY", "WHAT")
    yield from table(head, rows)
    if not found.same_dev:
        yield "measured on other items of dev: do not hold these figures against each other"
    for each in found.paired:
        yield from _paired(each)
    if not found.differing:
        yield "all settings are the same"
        return
    yield ""
    ids = [str(t.id) for t in found.tunings]
    yield from table(
        ("DIFFERS", *ids),
        [(safe(each.name), *map(safe, each.values)) for each in found.differing],
    )


def _paired(found: Paired) -> Iterator[str]:
    """A line that says on what, then each difference."""
    yield ""
    if found.reason:
        yield f"{found.tuning} minus {found.against}: not comparable: {safe(found.reason)}"
        return
    yield (
        f"{found.tuning} minus {found.against}, paired on {many(found.items, 'item')} of dev in "
        f"{many(found.groups, 'group')}"
        + (f"; {found.left_out} left out" if found.left_out else "")
    )
    rows = [
        (safe(one.what), points(one.value), within_points(one.interval), f"{one.p_value:.2g}",
         f"{one.gained} against {one.lost}")
        for one in found.differences
    ]  # fmt: skip
    yield from table(("WHAT", "POINTS", "95 %", "P", "ONLY ONE RIGHT"), rows)
