"""`appliance trust show`."""

import datetime
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.cli.conftest import Run, run_command
from tests.site import make_site
from tests.smol import quiet
from tests.trust import forge, policies
from tests.trust.simulator import DAY, Simulator, said, write


def test_the_policy_for_a_person_and_for_a_script(run: Run) -> None:
    plain = run("trust", "show").out
    assert "version 1, LAB" in plain
    assert plain.count("[+] valid") == 4  # publisher, two approvers, evaluator
    document = run("trust", "show", "--json").document
    assert document["roles"]["approver"]["threshold"] == 2
    assert [h["person"] for h in document["roles"]["publisher"]["holders"]] == ["publisher"]


def begun(tmp_path: Path, sim: Simulator) -> tuple[Path, Path]:
    """By the host's clock, and a stick that was not taken yet."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    data = tmp_path / "data"
    sim.expires = dict.fromkeys(sim.expires, now + 90 * DAY)
    sim.policy["issued"] = said(now)
    sim.roots.clear()
    sim.sign_root()
    stick = write(sim.publish(), tmp_path / "stick")
    root = stick / "metadata" / "1.root.json"
    site = ("init", "--profile", "site", "--root", root, "--fingerprint", sim.fingerprint)
    assert run_command(*site, data=data).status == 0
    return data, stick


def test_an_import_of_what_is_revoked_fails(tmp_path: Path) -> None:
    sim, artifact = Simulator(), tmp_path / "any"
    sim.policy["revoked"]["keys"] = [policies.hint(policies.PUBLISHER)]
    forge.make_artifact(artifact)
    signing.sign_directory(artifact, ecdsa.private_pem(policies.PUBLISHER), quiet)
    data, stick = begun(tmp_path, sim)
    assert run_command("trust", "update", stick, data=data).status == 0
    done = run_command("model", "import", artifact, "--json", data=data)
    assert (done.status, done.document["state"], done.document["code"]) == (
        1, "revoked", "key_revoked",
    )  # fmt: skip


def test_a_site_is_updated_from_a_stick(tmp_path: Path) -> None:
    sim = Simulator()
    data, stick = begun(tmp_path, sim)
    done = run_command("trust", "update", stick, "--json", data=data)
    assert (done.status, done.document["changed"], done.document["after"]["policy"]) == (0, True, 7)
    again = run_command("trust", "update", stick, data=data)
    assert "in force already" in again.out
    old = run_command("trust", "update", write(sim.publish(), tmp_path / "x"), "--json", data=data)
    assert old.code == (1, "trust_mixed")
    shown = run_command("trust", "show", data=data).out
    assert "version 7, SITE" in shown and "[+] valid" in shown and sim.fingerprint in shown
    sim.versions["timestamp"] -= 1
    older = write(sim.publish(), tmp_path / "older")
    assert run_command("trust", "update", older, "--json", data=data).code == (1, "trust_rollback")
    assert run_command("doctor", "--json", data=data).document["problems"] == []


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


STICKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (lambda p: link(p / "metadata" / "timestamp.json"), "file_symlink"),
    "a directory that is a link": (lambda p: link(p / "metadata"), "file_symlink"),
    "a FIFO": (lambda p: fifo(p / "targets" / "policy.json"), "file_special"),
    "two names": (lambda p: os.link(p / "targets/policy.json", p / "twin"), "file_hardlink"),
    "no targets": (lambda p: (p / "targets").rename(p / "x"), "artifact_not_directory"),
    "nothing": (lambda p: shutil.rmtree(p), "artifact_not_directory"),
}


def test_a_stick_that_is_none_is_recorded_once(tmp_path: Path) -> None:
    site = make_site(tmp_path, Simulator())
    data = site.data
    before = (data / "trust" / "metadata.json").read_bytes()
    for name, (change, code) in STICKS.items():
        stick = write(site.sim.publish(), tmp_path / name)
        change(stick)
        done = run_command("trust", "update", stick, "--json", data=data)
        assert done.code == (1, code)
    told = run_command("audit", "search", "--kind", "admin", "--json", data=data).document
    found = [e["body"] for e in told["entries"] if e["body"]["action"] == "trust_update_refused"]
    assert [e["code"] for e in found] == [code for _, code in STICKS.values()]
    assert (data / "trust" / "metadata.json").read_bytes() == before


def test_a_lab_is_not_updated(run: Run, tmp_path: Path) -> None:
    done = run("trust", "update", tmp_path, "--json")
    assert done.code == (1, "trust_profile")
