"""The lists are checked for every Python, and written from the wheels themselves."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from appliance import __version__
from installer.bundle import wheel_lists
from installer.bundle.locks import LOCKS
from installer.bundle.steps import BundleError
from installer.bundle.wheel_lists import check, product_version, write
from installer.bundle.wheelhouse import TARGETS


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in TARGETS:
        for path in LOCKS.glob(f"{name}.*"):
            shutil.copy(path, tmp_path)
    return tmp_path


def test_every_python_is_checked(copy: Path) -> None:
    assert check(copy) == check()


@pytest.mark.parametrize("name", TARGETS)
def test_a_change_of_one_list_of_one_python_is_noticed(copy: Path, name: str) -> None:
    path = copy / f"{name}.sha256"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(BundleError, match=f"{name}.* differ"):
        check(copy)


def test_the_command_tells_what_it_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["wheel_lists", "check"])
    wheel_lists.main()
    assert "cp311, cp312, cp313: lock, sums and bill of materials agree" in capsys.readouterr().out


def test_the_version_is_that_of_the_project() -> None:
    assert product_version() == __version__
    for target in TARGETS:
        listed = json.loads((LOCKS / f"{target}.cdx.json").read_text())
        assert listed["metadata"]["component"]["version"] == __version__


@pytest.mark.slow
def test_what_the_index_gives_is_what_is_listed(tmp_path: Path) -> None:
    write(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (LOCKS / path.name).read_bytes()
