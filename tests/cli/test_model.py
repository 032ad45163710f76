"""`appliance model …`: models, and the commands of artifacts under this name."""

from pathlib import Path

import click
import pytest

from appliance.cli.artifact import artifact
from appliance.cli.model import model
from tests.cli.conftest import Run
from tests.tuning.conversion import directories


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_loading_needs_a_server(run: Run, approved: str, verb: str) -> None:
    assert run("model", verb, approved, "--json").code == (3, "server_required")


def test_a_directory_of_safetensors_becomes_a_file(run: Run, tmp_path: Path) -> None:
    source, target = directories.write(tmp_path / "tiny"), tmp_path / "new" / "model.gguf"
    target.parent.mkdir()
    done = run("model", "convert", source, "--to", target, "--json")
    assert done.status == 0 and "artifact sign" in done.err
    assert done.document["bytes"] == target.stat().st_size
    assert (done.document["architecture"], done.document["type"]) == ("llama", "BF16")
    assert run("model", "convert", source, "--to", target, "--json").code == (2, "data_exists")
    (source / "model.pt").write_bytes(b"\x80")
    again = run("model", "convert", source, "--to", tmp_path / "x.gguf", "--json")
    assert again.code == (1, "convert_source") and not (tmp_path / "x.gguf").exists()


def test_every_command_of_artifacts_has_this_name_too(run: Run, approved: str) -> None:
    context = click.Context(model)
    assert set(model.list_commands(context)) == {"convert", "demo", "load", "unload"}
    for name in artifact.list_commands(context):
        assert model.get_command(context, name) is artifact.get_command(context, name)
    assert model.get_command(context, "bless") is None
    shown = [run(name, "show", approved, "--json") for name in ("model", "artifact")]
    assert shown[0].document == shown[1].document and shown[0].document["id"] == approved
    assert "every command of `appliance artifact`" in " ".join(run("model", "--help").out.split())
