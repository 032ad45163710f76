"""`appliance trust show`."""

import datetime
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Run, run_command
from tests.site import make_site
from tests.trust.simulator import DAY, Simulator, write


def test_the_policy_for_a_person_and_for_a_script(run: Run) -> None:
    plain = run("trust", "show").out
    assert "version 1, LAB" in plain
    assert plain.count("[+] valid") == 3
    document = run("trust", "show", "--json").document
    assert document["roles"]["approver"]["threshold"] == 2
    assert [h["person"] for h in document["roles"]["publisher"]["holders"]] == ["publisher"]


def test_a_site_is_updated_from_a_stick(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    sim, data = Simulator(), tmp_path / "data"
    sim.expires = dict.fromkeys(sim.expires, now + 90 * DAY)
    sim.roots.clear()
    sim.sign_root()
    stick = write(sim.publish(), tmp_path / "stick")
    root = stick / "metadata" / "1.root.json"
    site = ("init", "--profile", "site", "--root", root, "--fingerprint", sim.fingerprint)
    assert run_command(*site, data=data).status == 0
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
