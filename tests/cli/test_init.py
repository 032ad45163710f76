"""`appliance init`."""

import stat
from pathlib import Path

from tests.cli.conftest import run_command


def test_a_lab_is_ready_to_sign_and_approve(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    done = run_command("init", "--profile", "lab", "--data", data, "--json")
    assert done.status == 0
    assert done.document["profile"] == "lab"
    for name in ("publisher", "approver-1", "approver-2"):
        private = data / "keys" / "lab" / f"{name}.pem"
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert private.with_suffix(".pub").exists()
    assert Path(done.document["genesis_key"]).exists()


def test_lab_is_the_default_and_said(tmp_path: Path) -> None:
    done = run_command("init", data=tmp_path / "data")
    assert done.status == 0
    assert "LAB" in done.out
    assert "Not for production" in done.out


def test_the_site_profile_is_not_there_yet(tmp_path: Path) -> None:
    done = run_command("init", "--profile", "site", "--json", data=tmp_path / "data")
    assert done.code == (2, "profile_unsupported")
    assert "not there yet" in done.document["message"]
    assert not (tmp_path / "data").exists()


def test_a_directory_is_initialised_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    run_command("init", data=data)
    before = (data / "trust" / "policy.json").read_bytes()
    assert run_command("init", "--json", data=data).code == (1, "data_exists")
    assert (data / "trust" / "policy.json").read_bytes() == before


def test_it_takes_a_directory() -> None:
    assert run_command("init", "--json").code == (2, "data_missing")
