"""`task`: narrow jobs that apps call by name, from a directory to the store.

Rules: check and sign work on a directory and need neither data directory nor server; private keys
are read here and stay in this process; a task is approved like a model.
"""

from pathlib import Path
from typing import Final

import click

from appliance.cli.connect import admin_client
from appliance.cli.model import import_ as model_import
from appliance.cli.output import Output, Progress, data_option, json_option, safe, state, table
from appliance.tasks import catalogue
from appliance.trust import oms, signing
from appliance.trust.directory import open_artifact

_DIRECTORY: Final = click.Path(path_type=Path)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def task() -> None:
    """Tasks: narrow jobs that apps call by name."""


@task.command()
@click.argument("path", metavar="DIR", type=_DIRECTORY)
@json_option
@click.pass_obj
def check(output: Output, path: Path) -> None:
    """Read a task whole: definition, template, schema and examples."""
    with open_artifact(path) as artifact:
        found = catalogue.vet(artifact).summary()
    lines = [f"{name}: {safe(str(value))}" for name, value in found.items()]
    output.data(found, lines)


@task.command()
@click.argument("path", metavar="DIR", type=_DIRECTORY)
@click.option("--key", type=_FILE, required=True, help="The publisher's private key, PEM.")
@json_option
@click.pass_obj
def sign(output: Output, path: Path, key: Path) -> None:
    """Check the task, then sign every file of it into model.sig (OMS)."""
    with open_artifact(path) as artifact:
        catalogue.vet(artifact)
    with Progress() as progress:
        bundle = signing.sign_directory(path, key.read_bytes(), progress)
    manifest = oms.parse_manifest(oms.parse_bundle(bundle))
    document = {"digest": manifest.root, "files": len(manifest.files)}
    output.data(document, [f"signed {len(manifest.files)} files, digest {manifest.root}"])


@task.command("import")
@click.argument("path", metavar="PATH", type=_DIRECTORY)
@click.option("--id", "model_id", metavar="ID", help="By default the name of the directory.")
@data_option
@json_option
@click.pass_context
def import_(ctx: click.Context, data: Path, path: Path, model_id: str | None) -> None:
    """Copy a signed task into the store, verify and read it; approve it like a model."""
    ctx.invoke(model_import, data=data, path=path, model_id=model_id)


@task.command("list")
@data_option
@json_option
@click.pass_obj
def list_(output: Output, data: Path) -> None:
    """List the tasks of the store and their states."""
    with admin_client(data) as client:
        found = [shown for shown in client.models().models if shown.kind == catalogue.KIND]
    document = {"tasks": [shown.model_dump(mode="json") for shown in found]}
    rows = [
        (safe(shown.id), state(shown.state), (shown.digest or "-")[:16], safe(shown.message))
        for shown in found
    ]
    none = "No tasks. Bring one in with `appliance task import DIR`."
    output.data(document, table(("ID", "STATE", "DIGEST", "WHY"), rows) if rows else [none])
