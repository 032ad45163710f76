"""`appliance audit retention`, `approve-prune` and `prune`, as two people and an admin use them."""

import shutil
import time
from pathlib import Path

import pytest

from appliance.app import initialise
from appliance.clock import FixedClock
from auditor import verify_export
from tests.api.admin.lab import LabData
from tests.audit.segmented import ROWS, fill, open_segments
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its log began two years ago."""
    data = tmp_path_factory.mktemp("old") / "data"
    clock = FixedClock(int(time.time() - 2 * 365 * 86_400) * 1_000_000)
    initialise(data, "lab", clock)
    with open_segments(data / "audit", clock) as log:
        fill(log, ROWS + 3)
    return data


@pytest.fixture
def lab(made: Path, tmp_path: Path) -> LabData:
    shutil.copytree(made, tmp_path / "data")
    return LabData(tmp_path / "data")


def approve(run: Run, lab: LabData, name: str) -> object:
    done = run(
        *("audit", "approve-prune", str(ROWS), "--as", name, "--key", lab.key(name)),
        *("--meaning", "no longer needed", "--json"),
    )
    return done.document.get("name") or done.code


def test_from_the_list_to_the_pruned_log(lab: LabData, run: Run, tmp_path: Path) -> None:
    listed = run("audit", "retention", "--json").document
    assert (listed["first"], listed["keep_days"]) == (0, 365)
    assert [(s["first"], s["last"], s["code"]) for s in listed["segments"]] == [
        (0, ROWS - 1, None), (ROWS, ROWS + 2, "prune_boundary"),
    ]  # fmt: skip
    assert f"--before {ROWS}" in run("audit", "retention").out
    copy = tmp_path / "copy"
    assert run("audit", "export", "--format", "tiles", "--out", copy).status == 0
    prune = ("audit", "prune", str(ROWS), "--export", copy, "--reason", "old", "--json")
    assert run(*prune).code == (1, "not_approved")
    assert approve(run, lab, "approver-1") == "approver-1"
    assert approve(run, lab, "publisher") == (1, "approver_not_allowed")
    assert approve(run, lab, "approver-2") == "approver-2"
    done = run(*prune)
    assert (done.status, done.document["kind"], done.document["body"]["before"]) == (
        0, "prune", ROWS,
    )  # fmt: skip
    assert "No witness" in done.err
    found = run("audit", "verify", "--json").document
    assert (found["ok"], found["from"]) == (True, ROWS)
    assert run("audit", "show", "0", "--json").code == (1, "not_found")
    assert "were pruned" in run("audit", "retention").out
    later = tmp_path / "later"
    assert run("audit", "export", "--format", "tiles", "--out", later).status == 0
    genesis = str(lab.data / "audit" / "genesis.pub")
    assert verify_export.main([str(later), genesis]) == 0
    assert verify_export.main([str(copy), genesis]) == 0


def test_a_directory_that_is_no_copy(lab: LabData, run: Run, tmp_path: Path) -> None:
    asked = ("audit", "prune", str(ROWS), "--export", tmp_path, "--reason", "old", "--json")
    assert run(*asked).code == (1, "export_invalid")


def test_a_place_where_no_segment_ends(run: Run, lab: LabData) -> None:
    asked = run(
        *("audit", "approve-prune", "7", "--as", "approver-1", "--key", lab.key("approver-1")),
        *("--meaning", "x", "--json"),
    )
    assert asked.code == (1, "prune_boundary")
