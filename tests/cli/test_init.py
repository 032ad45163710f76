"""`appliance init`."""

import stat
from pathlib import Path

from appliance.config import load_config
from tests.cli.conftest import run_command
from tests.trust.simulator import Simulator


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
    assert "Next: appliance serve --detach, then appliance dataset new" in done.out


def test_a_site_begins_with_a_root_whose_fingerprint_was_compared(tmp_path: Path) -> None:
    sim, data = Simulator(), tmp_path / "data"
    root = tmp_path / "1.root.json"
    root.write_bytes(sim.roots[0])
    site = ("init", "--profile", "site", "--json", "--root", root, "--fingerprint")
    assert run_command(*site, "ab" * 32, data=data).code == (1, "trust_fingerprint")
    assert not data.exists()
    done = run_command(*site, sim.fingerprint.upper(), data=data)
    assert (done.status, done.document["profile"]) == (0, "site")
    assert "keys" not in done.document and not (data / "keys").exists()
    shown = run_command("trust", "show", "--json", data=data)
    assert shown.code == (1, "policy_missing")
    assert run_command("status", "--json", data=data).document["profile"] == "site"


def test_root_and_fingerprint_belong_to_a_site(tmp_path: Path) -> None:
    root = tmp_path / "1.root.json"
    root.write_bytes(Simulator().roots[0])
    for arguments in (
        ("--profile", "site"),
        ("--profile", "site", "--root", root),
        ("--profile", "site", "--fingerprint", "ab"),
        ("--root", root, "--fingerprint", "ab"),
        ("--fingerprint", "ab"),
    ):
        assert run_command("init", *arguments, data=tmp_path / "data").status == 2
    assert not (tmp_path / "data").exists()


def test_a_directory_is_initialised_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    run_command("init", data=data)
    before = (data / "trust" / "policy.json").read_bytes()
    assert run_command("init", "--json", data=data).code == (1, "data_exists")
    assert (data / "trust" / "policy.json").read_bytes() == before


def test_names_make_a_certificate_and_turn_tls_on(tmp_path: Path) -> None:
    named = ("--name", "appliance.lan", "--name", "10.0.0.5")
    done = run_command("init", *named, "--json", data=tmp_path / "data")
    made = tmp_path / "data" / "tls"
    assert (done.status, done.document["ca"]) == (0, str(made / "ca.pem"))
    assert {path.name for path in made.iterdir()} == {
        "ca.key", "ca.pem", "server.pem", "server.key",
    }  # fmt: skip
    assert load_config(tmp_path / "data").tls.enabled
    refused = run_command("init", "--name", "a b", "--json", data=tmp_path / "other")
    assert refused.code == (2, "certificate_unusable")
    assert not list((tmp_path / "other").iterdir())  # so it can be done again
    run_command("init", data=tmp_path / "other")
    assert not load_config(tmp_path / "other").tls.enabled
    assert not (tmp_path / "other" / "tls").exists()


def test_it_takes_a_directory() -> None:
    assert run_command("init", "--json").code == (2, "data_missing")
