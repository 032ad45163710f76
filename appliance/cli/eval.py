"""`eval`: measure every candidate of a task on the customer's own items.

Rules: an evaluation is a job of the server, so it goes on when the command is left; sealed splits
cannot be named; the answer stands first, then each candidate with its interval.
"""

import contextlib
from pathlib import Path
from typing import Any, Final

import click

from appliance.cli import gate
from appliance.cli.connect import admin_client
from appliance.cli.job import started, watched
from appliance.cli.output import Decorated, Output, data_option, json_option, safe, table
from appliance.client import AdminClient
from appliance.config import data_directory
from appliance.errors import Refused
from appliance.wire.admin.jobs import Job

KIND: Final = "evaluation"
_DIRECTORY: Final = click.Path(exists=True, file_okay=False, resolve_path=True)


def directory_option(command: Decorated) -> Decorated:
    """`--directory DIR`: the data directory, where `--data` names a dataset."""
    return click.option(
        "--directory",
        "data",
        metavar="DIR",
        callback=lambda _ctx, _param, value: data_directory(value),
        help="The data directory; by default the one that APPLIANCE_DATA names.",
    )(command)


@click.group("eval")
def eval() -> None:  # the command's name; the built-in is not used here
    """Evaluations: what each candidate is worth, with intervals."""


@eval.command()
@click.argument("task", metavar="TASK_DIR", type=_DIRECTORY)
@click.option("--data", "dataset", metavar="DATASET_DIR", type=_DIRECTORY, required=True,
              help="Directory of the dataset.")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "dev"]), default="dev", show_default=True,
              help="Which items; sealed splits are for the gate alone.")  # fmt: skip
@click.option(
    "--models", default="", metavar="ID,ID", help="Further models that answer for the task."
)
@click.option("--baselines/--no-baselines", default=True, show_default=True,
              help="Measure what needs no language model first.")  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(0), default=0, help="The first so many items; 0 for all."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Watch until it is done.")
@directory_option
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    task: str,
    dataset: str,
    split: str,
    models: str,
    baselines: bool,
    limit: int,
    wait: bool,
    data: Path,
) -> None:
    """Measure the baselines, the task and other models on a split."""
    output = ctx.ensure_object(Output)
    params = {
        "task": task,
        "data": dataset,
        "split": split,
        "models": [name for name in models.split(",") if name],
        "baselines": baselines,
        "limit": limit,
    }
    with admin_client(data, needs_server=True) as client:
        begun = client.start_job(KIND, params)
        if not wait:
            started(output, begun)
            return
        found = watched(client, begun.id)
    _tell(output, found)
    if found.state != "done":
        ctx.exit(1)


@eval.command("list")
@data_option
@json_option
@click.pass_obj
def list_(output: Output, data: Path) -> None:
    """List the newest evaluations."""
    with admin_client(data) as client:
        found = [job for job in client.jobs(1_000).jobs if job.kind == KIND]
    rows = [(str(job.id), job.state, job.created, safe(job.title)) for job in found]
    empty = ["No evaluations. Start one with `appliance eval run TASK_DIR --data DATASET_DIR`."]
    shown = [job.model_dump() for job in found]
    lines = table(("ID", "STATE", "SINCE", "WHAT"), rows) if rows else empty
    output.data({"evaluations": shown}, lines)


@eval.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@data_option
@json_option
@click.pass_obj
def show(output: Output, data: Path, job_id: int) -> None:
    """Show what an evaluation found."""
    with admin_client(data) as client:
        found = _evaluation(client, job_id)
    _tell(output, found)


@eval.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True,
              help="The HTML file to write.")  # fmt: skip
@data_option
@json_option
@click.pass_obj
def report(output: Output, data: Path, job_id: int, out: Path) -> None:
    """Write the page of an evaluation as one HTML file."""
    with admin_client(data) as client:
        html = client.evaluation_report(job_id).html
    with contextlib.suppress(FileNotFoundError):
        out.unlink()
    out.write_text(html, encoding="utf-8")
    output.data({"report": str(out)}, [f"wrote {out}"])


def _evaluation(client: AdminClient, job_id: int) -> Job:
    found = client.job(job_id)
    if found.kind != KIND:
        raise Refused("report_missing", f"Job {job_id} is no evaluation.")
    return found


def _tell(output: Output, found: Job) -> None:
    result: dict[str, Any] = found.result or {}
    if not result:
        lines = [f"evaluation {found.id}: {found.state} {safe(found.message)}".rstrip()]
        output.data({"id": found.id, "state": found.state, "code": found.code}, lines)
        return
    rows = [
        (
            safe(row["name"]),
            f"{row['quality']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            f"{row['documents_s']:.3g}",
            f"{row['p95_s']:.3g} s",
            str(sum(row["failures"].values())),
        )
        for row in sorted(result["candidates"], key=lambda row: -row["quality"])
    ]
    head = ("CANDIDATE", "QUALITY", "95 %", "DOCUMENTS/S", "P95", "FAILURES")
    groups = result["candidates"][0]["groups"]
    facts = f"{result['metric']} on {result['split']}: {result['items']} items, {groups} groups"
    lines = [safe(result["answer"]), facts, *table(head, rows)]
    output.data({"id": found.id, "state": found.state, **result}, lines)
    output.note(f"  appliance eval report {found.id} --out report.html")


for _command in gate.COMMANDS:
    eval.add_command(_command)
