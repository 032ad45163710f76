"""What tasks and datasets share on the command line."""

from pathlib import Path

import pytest

from appliance.cli.artifacts import list_artifacts, sign_directory
from appliance.cli.output import Output
from appliance.trust.bytes import oms
from tests.api.admin.lab import LabData


def test_every_file_is_signed_and_counted(
    lab: LabData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "things"
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_text(name)
    sign_directory(Output(), path, lab.key("publisher"))
    manifest = oms.parse_manifest(oms.parse_bundle((path / "model.sig").read_bytes()))
    assert capsys.readouterr().out == f"signed 2 files, digest {manifest.root}\n"


def test_an_empty_list_says_how_to_fill_it(
    lab: LabData, capsys: pytest.CaptureFixture[str]
) -> None:
    list_artifacts(Output(), lab.data, "task", "bring one in")
    assert capsys.readouterr().out == "bring one in\n"
