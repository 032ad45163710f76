"""The composition root: what a data directory is, and its one holder."""

import ast
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.config import Config
from appliance.errors import Refused, StateRefused, UsageError
from tests.conftest import CHECKOUT

pytestmark = pytest.mark.long


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_data_directory_has_its_parts_and_modes(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    initialise(data, "lab")
    assert {p.name for p in data.iterdir()} >= {
        "appliance.toml", "appliance.db", "audit", "trust", "keys", "models", "run",
    }  # fmt: skip
    assert mode(data / "audit") == 0o700 and mode(data / "models") == 0o700
    assert mode(data / "run") == 0o750
    for secret in [*data.rglob("*.pem"), data / "audit" / "kek"]:
        assert mode(secret) == 0o600, secret
    with open_services(data) as services:
        assert services.profile == "lab"
        assert services.config.server.host == "127.0.0.1"
        genesis = services.reader.entry(0).body
        assert (genesis["kind"], genesis["profile"]) == ("genesis", "lab")
        assert services.store.inventory.records() == [] and services.keys.list() == ()


def test_two_directories_have_different_logs(tmp_path: Path) -> None:
    origins = set()
    for name in ("a", "b"):
        initialise(tmp_path / name, "lab")
        with open_services(tmp_path / name) as services:
            origins.add(services.reader.checkpoint().splitlines()[0])
    assert len(origins) == 2


@pytest.mark.parametrize("profile", ["production", "LAB", ""])
def test_another_profile_is_not_there_and_makes_nothing(tmp_path: Path, profile: str) -> None:
    with pytest.raises(UsageError) as caught:
        initialise(tmp_path / "data", profile)
    assert caught.value.code == "profile_unsupported"
    assert not (tmp_path / "data").exists()


def test_a_directory_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    (tmp_path / "file").write_text("y")
    for path in (tmp_path / "data", tmp_path / "file"):
        with pytest.raises(StateRefused) as caught:
            initialise(path, "lab")
        assert caught.value.code == "data_exists"
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["precious"]


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data"):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    initialise(data, "lab")
    with open_services(data):
        with pytest.raises(StateRefused) as caught, open_services(data):
            pass
        assert caught.value.code == "data_locked"
        code = (
            "# forked\n"
            "import sys, pathlib\n"
            "from appliance.errors import StateRefused\n"
            "from appliance.app import open_services\n"
            "try:\n"
            "    with open_services(pathlib.Path(sys.argv[1])): print('opened')\n"
            "except StateRefused as error: print(error.code)\n"
        )
        other = [sys.executable, "-c", code, str(data)]
        done = subprocess.run(other, capture_output=True, text=True, check=True)
        assert done.stdout == "data_locked\n"
    done = subprocess.run(other, capture_output=True, text=True, check=True)
    assert done.stdout == "opened\n"


def test_a_directory_that_was_not_initialised(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught, open_services(tmp_path):
        pass
    assert caught.value.code == "data_missing"


def test_a_bad_configuration_stops_before_the_lock(tmp_path: Path) -> None:
    data = tmp_path / "data"
    initialise(data, "lab")
    (data / "appliance.toml").write_text("[server]\nprot = 1\n")
    with pytest.raises(UsageError) as caught, open_services(data):
        pass
    assert caught.value.code == "config_invalid" and "server.port" in caught.value.message
    with open_services(data, config=Config()):
        pass


@pytest.mark.parametrize("name", ["policy.json", "root.pub"])
def test_an_untrusted_policy_stops_everything_and_frees_the_lock(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    initialise(data, "lab")
    path = data / "trust" / name
    good = path.read_bytes()
    path.write_bytes(good.replace(b"A", b"B"))
    with pytest.raises(Refused), open_services(data):
        pass
    path.write_bytes(good)
    with open_services(data):
        pass


def test_a_failure_inside_frees_the_lock_and_closes_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    initialise(data, "lab")
    with pytest.raises(ZeroDivisionError), open_services(data):
        raise ZeroDivisionError
    with open_services(data) as services:
        assert services.audit.latched is None


def outside(text: str) -> list[str]:
    """The assignments to an attribute of another object than the one that is being made."""
    targets = (
        target
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for whole in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in ast.walk(whole)
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
    )
    return [ast.unparse(found) for found in targets if ast.unparse(found.value) != "self"]


def test_a_part_has_all_that_it_needs_when_it_is_made() -> None:
    assert outside("self.a, self.b = 1, 2\nlog.held, c = d, e") == ["log.held"]  # the control
    root = CHECKOUT / "appliance"
    for path in (root / "app.py", *(root / "wiring").glob("*.py")):
        assert outside(path.read_text()) == [], path
