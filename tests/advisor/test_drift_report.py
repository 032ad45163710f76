"""The page of a task's weeks."""

import numpy as np

from appliance.advisor.drift import Watch
from appliance.advisor.drift_report import page
from appliance.reports.page import render
from tests.advisor.weeks import watched


def test_an_alarm_stands_first_with_what_moved() -> None:
    *_, watch = watched(np.random.default_rng(41), 18, "words", 16)
    made = page(watch, ("Label a sample.",), "2026-11-27T21:00:00Z")
    assert made.tone == "bad" and made.answer.startswith("Drift.") and made.figure is not None
    html = render(made)
    for words in ("What to do", "Label a sample.", "What is not found", "without labels", "Rank"):
        assert words in html, words


def test_before_the_first_look_it_says_how_long() -> None:
    made = page(Watch("orders"), (), "2026-11-27T21:00:00Z")
    assert made.tone == "muted" and made.figure is None
    assert "16 more weeks" in render(made)
