"""`tune offer`: from a tuning that is done to a task that the gate can judge.

Rules: the task is the trained one, file by file, with another candidate and the next version; an
adapter of another tuning is refused; nothing is signed here.
"""

from pathlib import Path
from typing import Final

import click
import msgspec

from appliance.cli.connect import connected
from appliance.cli.output import DIRECTORY, Output, safe
from appliance.client import AdminClient
from appliance.errors import Refused, SignatureRefused, TuningRefused
from appliance.host import at_rest
from appliance.tasks import catalogue, definition
from appliance.tasks.classifiers import document
from appliance.tasks.definition import TaskAnswerer
from appliance.tasks.drafting import write
from appliance.tasks.rewriting import with_candidate
from appliance.trust.bytes import oms
from appliance.trust.bytes.directory import open_artifact
from appliance.trust.bytes.names import SIGNATURE_FILE
from appliance.tuning.candidates import ORDER, Kind
from appliance.tuning.exporting import TASK
from appliance.types import JsonValue
from appliance.wire.admin.jobs import JOB, Job
from appliance.wire.admin.models import MODEL
from appliance.wire.admin.results import AdapterTuned

KIND: Final = "tune"


@click.command()
@click.argument("job_id", metavar="ID", type=click.IntRange(1))
@click.argument("path", metavar="DIR", type=DIRECTORY)
@click.option("--as", "adapter", metavar="ADAPTER", help="Id of the imported adapter: BASE:NAME.")
@click.option("--kind", type=click.Choice(ORDER), help="By default the one that is best on dev.")
@connected()
def offer(
    output: Output,
    client: AdminClient,
    job_id: int,
    path: Path,
    adapter: str | None,
    kind: Kind | None,
) -> None:
    """Write the task of the best candidate.

    Of a tuning: model, classifier or blend.
    """
    found = tuning_of(client, job_id)
    result = _result(found)
    best = next(one for one in ORDER if one == result.best)
    chosen: Kind = kind or best
    row = next((one for one in result.candidates if one.kind == chosen), None)
    if row is None:
        raise TuningRefused("tuning_invalid", f"Tuning {job_id} has no {chosen} to offer.")
    named = {} if chosen == "classifier" else _adapter(client, result, adapter)
    wanted = TaskAnswerer(
        kind=chosen,
        classifier=None if chosen == "model" else document.FILE,
        weight=row.weight,
        **named,
    )
    source = Path(result.adapter).with_name(TASK)
    made = {file.name: at_rest.read(file) for file in sorted(source.iterdir())}
    if chosen == "model":
        made.pop(document.FILE, None)
    made[definition.FILE] = with_candidate(made[definition.FILE], wanted)
    write(path, made)
    with open_artifact(path) as artifact:
        task = catalogue.read_artifact(artifact).task
    told: dict[str, JsonValue] = {"path": str(path), "version": task.version}
    output.data(
        {**told, "candidate": msgspec.to_builtins(wanted), "dev": row.document},
        [f"{safe(task.id)} version {task.version}: {chosen}, {row.value:.3f} on dev"],
    )
    output.note(f"  appliance task release {path} --data DATASET --as NAME --key KEY")


def tuning_of(client: AdminClient, job_id: int) -> Job:
    """The job of a tuning. Raises Refused (`report_missing`) for another one."""
    found = client.call(JOB, job_id=job_id)
    if found.kind != KIND:
        raise Refused("report_missing", f"Job {job_id} is no tuning.")
    return found


def _result(found: Job) -> AdapterTuned:
    if (result := found.came_to(AdapterTuned)) is None:
        raise Refused("report_missing", f"Job {found.id} trained no adapter: {found.state}.")
    return result


def _adapter(client: AdminClient, result: AdapterTuned, adapter: str | None) -> dict[str, str]:
    """Id and digest of the stored adapter.

    Raises:
        SignatureRefused: `signature_missing`.
        TuningRefused: `tuning_invalid` for another one.
    """
    if adapter is None:
        raise click.UsageError("--as names the imported adapter: BASE:NAME.")
    try:
        signature = (Path(result.adapter) / SIGNATURE_FILE).read_bytes()
    except OSError as error:
        raise SignatureRefused(
            "signature_missing", f"{error.strerror}: sign the adapter."
        ) from error
    digest = oms.parse_manifest(oms.parse_bundle(signature)).root
    if client.call(MODEL, model_id=adapter).digest != digest:
        raise TuningRefused("tuning_invalid", f"{adapter} is not the adapter of this tuning.")
    return {"model": adapter, "digest": digest}
