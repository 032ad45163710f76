"""Commands as a person types them, in this process, on a real lab data directory."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from tests.api.admin.lab import APPROVERS, LabData, make_lab


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def code(self) -> object:
        """Status and code of a refusal."""
        return self.status, self.document["code"]


Run: TypeAlias = Callable[..., Done]


def run_command(*arguments: str | Path, data: Path | None = None) -> Done:
    environment = {"APPLIANCE_DATA": None if data is None else str(data)}
    done = CliRunner().invoke(
        cli, [str(a) for a in arguments], env=environment, catch_exceptions=False
    )
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


@pytest.fixture
def run(lab: LabData) -> Run:
    """On the lab's data directory, which APPLIANCE_DATA names."""
    return lambda *arguments: run_command(*arguments, data=lab.data)


@pytest.fixture(scope="session")
def approved_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab beside an artifact that was signed, imported and approved by commands. To be copied."""
    lab = make_lab(tmp_path_factory.mktemp("approved"))
    assert run_command("model", "import", lab.artifact("tiny"), data=lab.data).status == 0
    for name in APPROVERS:
        done = run_command(
            *("model", "approve", "tiny", "--as", name, "--key", lab.key(name)),
            *("--meaning", "fit for use"),
            data=lab.data,
        )
        assert done.status == 0
    return lab.data.parent


@pytest.fixture
def approved(lab: LabData, approved_lab: Path) -> str:
    """The id; the lab has the model now."""
    shutil.rmtree(lab.data)
    shutil.copytree(approved_lab, lab.data.parent, dirs_exist_ok=True)
    return "tiny"


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("model")
