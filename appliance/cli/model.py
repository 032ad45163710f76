"""`model`: models from a directory of weights to the engine and out again."""

from pathlib import Path

import click

from appliance.cli import media
from appliance.cli.artifact import artifact, lines_of
from appliance.cli.connect import connected
from appliance.cli.output import DIRECTORY, Output, ProgressBar, json_option, safe, size
from appliance.client import AdminClient
from appliance.tuning.conversion import process as conversion
from appliance.types import JsonValue
from appliance.wire.admin import models as wire


class _Model(click.Group):
    """Its own commands and those of `artifact`, which its help does not list again."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or artifact.get_command(ctx, cmd_name)


@click.group(cls=_Model)
def model() -> None:
    """Models: convert, load, unload.

    A model is an artifact: every command of `appliance artifact` has this name, too.
    """


model.add_command(media.demo)


@model.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--to", "target", metavar="FILE", type=DIRECTORY, required=True,
              help="The GGUF file; nothing is overwritten.")  # fmt: skip
@json_option
@click.pass_obj
def convert(output: Output, directory: Path, target: Path) -> None:
    """Convert safetensors to a GGUF file.

    DIR is read in a confined process.
    """
    made = conversion.convert(directory, target)
    found = made.result
    document: dict[str, JsonValue] = {
        "file": str(made.path), "bytes": made.size, "sha256": made.sha256,
        "architecture": found.architecture, "type": found.type, "tokenizer": found.tokenizer,
        "tensors": found.tensors, "sources": made.sources,
    }  # fmt: skip
    line = f"{safe(str(made.path))}: {found.architecture}, {found.type}, {size(made.size)}"
    output.data(document, [line, f"sha256 {made.sha256}"])
    output.note(f"  appliance artifact sign {safe(str(made.path.parent))} --key KEY")


@model.command()
@click.argument("model_id", metavar="ID")
@connected(needs_server=True)
def load(output: Output, client: AdminClient, model_id: str) -> None:
    """Verify an approved model and serve it."""
    with ProgressBar() as progress:
        if needs := client.call(wire.MODEL, model_id=model_id).memory:
            output.note(f"{safe(model_id)} needs {safe(needs)}")
        loaded = client.call(wire.MODEL_LOAD, model_id=model_id, report=progress)
    output.data(loaded, lines_of(loaded))


@model.command()
@click.argument("model_id", metavar="ID")
@connected(needs_server=True)
def unload(output: Output, client: AdminClient, model_id: str) -> None:
    """Stop serving a model and free its memory."""
    unloaded = client.call(wire.MODEL_UNLOAD, model_id=model_id)
    output.data(unloaded, lines_of(unloaded))
