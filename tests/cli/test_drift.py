"""`appliance drift …`."""

from pathlib import Path

import numpy as np
import pytest

from appliance.advisor import rehearsal, watch
from tests.advisor.weeks import watched
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.evals.orders import write_data


def test_from_the_first_look_to_a_new_beginning(run: Run, lab: LabData, tmp_path: Path) -> None:
    assert run("drift", "show", "orders", "--json").code == (1, "drift_missing")
    looked = run("drift", "check", "orders")
    assert looked.status == 0, looked.err
    assert looked.out.startswith("Not watched yet: 16 more weeks")
    assert "not found: Wrong answers by themselves" in looked.out
    *_, found = watched(np.random.default_rng(41), 18, "words", 16)
    watch.keep(lab.data / watch.DIRECTORY, found)
    shown = run("drift", "show", "orders")
    for words in ("Drift. In the last 3 weeks", "ALARM AT", "do: Label a sample", "promised:"):
        assert words in shown.out, words
    assert run("drift", "check", "orders", "--json").status == 1
    page = tmp_path / "drift.html"
    page.write_text("old")
    assert run("drift", "report", "orders", "--out", page).status == 0
    assert "<svg" in page.read_text()
    assert run("drift", "restart", "orders").status == 2  # not without a reason
    again = run("drift", "restart", "orders", "--reason", "measured", "--json").document
    assert again["state"] == "learning" and again["not_found"]


def test_a_rehearsal_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SIZES", (21, 40))
    path = write_data(tmp_path / "orders")
    done = run_command("drift", "rehearse", path, "--against", "dev")
    assert done.status == 0, done.err
    said, head, *rows, note = done.out.splitlines()
    assert "requests a week" in said and head.split()[:3] == ["REQUESTS", "A", "WEEK"]
    assert [row.split()[0] for row in rows] == ["21", "40"] and "find less" in note
    found = run_command("drift", "rehearse", path, "--json").document
    assert [row["other"] for row in found["rows"]] == [None, None]
    assert run_command("drift", "rehearse", path, "--split", "certify").status == 2
