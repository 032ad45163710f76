"""`task promote|rollback|live` by commands."""

from pathlib import Path

from appliance.app import open_services
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import TASK
from tests.evals.sealed import add_task
from tests.smol import APPROVERS, SMALL, approve


def test_a_name_is_promoted_and_rolled_back(lab: LabData, run: Run, tmp_path: Path) -> None:
    with open_services(lab.data, config=SMALL) as services:
        for number in (1, 2, 3):
            text = TASK.replace("version = 1", f"version = {number}")
            approve(services, add_task(services, tmp_path / f"v{number}", text), *APPROVERS)
    who = ("--as", "approver-1", "--key", lab.key("approver-1"), "--reason", "read")
    assert run("task", "live").out.startswith("No names.")
    assert run("task", "rollback", "orders", *who, "--json").code == (1, "pointer_missing")
    assert run("task", "promote", "orders", "v1", *who).status == 0
    assert run("task", "rollback", "orders", *who, "--json").code == (1, "pointer_missing")
    assert run("task", "promote", "orders", "v2", *who).status == 0
    assert "v2" in run("task", "live").out
    back = run("task", "rollback", "orders", *who, "--json").document
    assert back["pointers"][0]["live"]["task"] == "v1" and len(back["pointers"]) == 3
    trying = run("task", "promote", "orders", "v2", "--canary", "20", *who, "--json").document
    assert trying["pointers"][0]["canary"]["task"] == "v2"
    assert trying["pointers"][0]["live"]["task"] == "v1"
    both = run("task", "promote", "orders", "v3", "--shadow", *who, "--json").document
    assert [both["pointers"][0][role]["task"] for role in ("live", "canary", "shadow")] == [
        "v1", "v2", "v3",
    ]  # fmt: skip
    shown = run("task", "live").out
    assert "canary 20 %" in shown and "shadow of orders: 0 answers the same" in shown
    moved = run("task", "promote", "orders", "v3", "--canary", "5", *who, "--json").document
    assert moved["pointers"][0]["shadow"] is None  # a version has one role
    back = run("task", "rollback", "orders", *who, "--json").document
    assert back["pointers"][0]["canary"] is None and back["pointers"][0]["live"]["task"] == "v1"
    assert run("task", "promote", "orders", "v2", "--canary", "5", "--shadow", *who).status == 2
    assert run("task", "promote", "other", "v2", "--shadow", *who, "--json").code == (
        1, "pointer_missing",
    )  # fmt: skip
    wrong = ("--as", "approver-2", "--key", lab.key("approver-1"), "--reason", "read")
    refused = run("task", "promote", "orders", "v2", *wrong, "--json")
    assert refused.code == (1, "approver_name_mismatch")
    assert run("task", "promote", "orders", "v9", *who, "--json").code == (1, "unknown_model_id")
