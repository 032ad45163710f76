"""`job`: long work, what is under way and what became of it.

Rules: a job says which actions it allows; `watch` ends with the job, or when it is paused.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from appliance.cli.connect import connected
from appliance.cli.output import OUT, Decorated, Output, ProgressBar, safe, state
from appliance.client import AdminClient
from appliance.errors import StateRefused
from appliance.jobs.kind import digest, dumps
from appliance.types import JsonValue
from appliance.wire.admin import jobs as wire
from appliance.wire.admin.endpoint import Endpoint

_ID: Final = click.IntRange(1, (1 << 53) - 1)
UNDER_WAY: Final = frozenset({"queued", "running", "pausing", "cancelling"})
_POLL_S: Final = 0.5


@click.group()
def job() -> None:
    """Long work: import, load, verify, export."""


@job.command("list")
@click.option(
    "-n", "count", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Most jobs."
)
@connected()
def list_(output: Output, client: AdminClient, count: int) -> None:
    """List the newest jobs, the newest first."""
    found = client.call(wire.JOBS, count=count)
    output.listing(found, found.jobs, wire.JOB_TABLE)


def _steers(
    name: str, at: Endpoint[None, wire.Job], about: str, *, needs_server: bool = False
) -> None:
    @job.command(name, help=about)
    @click.argument("job_id", metavar="ID", type=_ID)
    @connected(needs_server=needs_server)
    def steer(output: Output, client: AdminClient, job_id: int) -> None:
        found = client.call(at, job_id=job_id)
        output.data(found, _details(found))


_steers("show", wire.JOB, "Show one job.\n\nProgress, what it allows, why it stopped, its result.")
_steers("pause", wire.JOB_PAUSE, "Pause a job at its next safe point.\n\nIt can be resumed.")
_steers("resume", wire.JOB_RESUME, "Continue a job where it stopped.", needs_server=True)
_steers("cancel", wire.JOB_CANCEL, "End a job for good at its next safe point.")


@job.command()
@click.argument("job_id", metavar="ID", type=_ID)
@connected(needs_server=True)
def watch(output: Output, client: AdminClient, job_id: int) -> None:
    """Watch a job until it ends or pauses.

    Exit 0 only if it is done.
    """
    found = watched(client, job_id)
    output.data(found, _details(found))
    output.require(found.state == "done")


@job.command()
@click.argument("job_id", metavar="ID", type=_ID)
@click.option("--out", type=OUT, required=True, help="The JSON file to write.")
@connected()
def result(output: Output, client: AdminClient, job_id: int, out: Path) -> None:
    """Write the result of a job.

    Byte for byte what its entry in the log names. On another machine `verify_result.py` finds that
    entry (`appliance auditor export-tools`).
    """
    found = client.call(wire.JOB, job_id=job_id)
    if found.state != "done" or found.result is None:
        raise StateRefused("job_wrong_state", f"Job {job_id} is {found.state} and has no result.")
    output.file(out, dumps(found.told))
    named = digest(found.told)
    told: dict[str, JsonValue] = {"job": job_id, "file": str(out), "result_sha256": named}
    output.data(told, [f"wrote {safe(str(out))}, SHA-256 {named}"])


def wait_option(command: Decorated) -> Decorated:
    """`--no-wait`: the command ends when the job has begun."""
    return click.option(
        "--wait/--no-wait", default=True, show_default=True, help="Watch until it is done."
    )(command)


def run_job(
    output: Output,
    client: AdminClient,
    kind: str,
    params: Mapping[str, JsonValue],
    *,
    wait: bool = True,
) -> wire.Job:
    """Start a job and watch it; the command ends here if it does not wait."""
    begun = client.call(wire.JOB_START, wire.JobStart.of(kind=kind, params=params))
    if wait:
        return watched(client, begun.id)
    output.data(begun, [f"job {begun.id} {state(begun.state)}: {safe(begun.title)}"])
    output.note(f"  appliance job watch {begun.id}")
    raise click.exceptions.Exit


def watched(client: AdminClient, job_id: int) -> wire.Job:
    """Show the progress of a job until it is not under way any more."""
    with ProgressBar() as shown:
        while True:
            found = client.call(wire.JOB, job_id=job_id)
            told = found.progress
            if told.phase:
                shown(told.phase, told.done, told.total)
            if found.state not in UNDER_WAY:
                return found
            time.sleep(_POLL_S)


def finished(client: AdminClient, kind: str) -> Iterator[wire.Job]:
    """Jobs of a kind that are done, the newest first, without their results."""
    found = client.call(wire.JOBS, count=1_000).jobs
    return (job for job in found if (job.kind, job.state) == (kind, "done"))


def result_of(output: Output, found: wire.Job, form: type[wire.R]) -> wire.R:
    """The result; without one the command says why and ends with 1."""
    result = found.came_to(form)
    if result is None:
        lines = [f"job {found.id}: {found.state} {safe(found.code)}".rstrip()]
        lines += [safe(text) for text in (found.message, found.hint) if text]
        output.data({"id": found.id, "state": found.state, "code": found.code}, lines)
        raise click.exceptions.Exit(1)
    return result


def _details(found: wire.Job) -> Iterator[str]:
    yield f"job {found.id} {state(found.state)} {safe(found.kind)}: {safe(found.title)}"
    if found.code and found.state != "done":
        yield f"  {found.code}: {safe(found.message)}"
        yield f"  {safe(found.hint)}"
    told = found.progress
    if told.phase:
        amount = f" ({told.done} of {told.total} {told.unit})" if told.total else ""
        yield f"  {safe(wire.far(told))}{amount}"
    yield f"  by {safe(found.actor)}, {found.created}" + (
        f" to {found.ended}" if found.ended else ""
    )
    for name, value in found.told.items():
        yield f"  {safe(name)}: {safe(str(value))}"
    if found.actions:
        yield f"  allows: {', '.join(found.actions)}"
