"""`appliance drift …`."""

from pathlib import Path

import numpy as np

from appliance.advisor import watch
from tests.advisor.weeks import watched
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


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
