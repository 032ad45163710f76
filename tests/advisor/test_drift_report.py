"""The page of a task's weeks."""

import numpy as np

from appliance.advisor.blocks import WeekBlock
from appliance.advisor.drift import Watch, doubled
from appliance.advisor.drift_report import page
from appliance.reports.page import render
from appliance.statistics.change import LEAST
from tests.advisor.weeks import watched


def test_an_alarm_stands_first_with_what_moved() -> None:
    *_, watch = watched(np.random.default_rng(41), 18, "words", 16)
    made = page(watch, ("Label a sample.",), "2026-11-27T21:00:00Z")
    assert made.tone == "bad" and made.answer.startswith("Drift.") and made.figure is not None
    html = render(made)
    for words in ("Next steps", "Label a sample.", "Not found", "without labels", "Rank"):
        assert words in html, words


def test_before_the_first_look_it_says_how_long() -> None:
    made = page(Watch("orders"), (), "2026-11-27T21:00:00Z")
    assert made.tone == "muted" and made.figure is None
    assert "16 more weeks" in render(made)


def test_the_page_says_how_many_requests_find_a_doubled_answer() -> None:
    """At 21 requests a week only a collapse is found."""
    random = np.random.default_rng(5)

    def weeks(requests: int) -> tuple[WeekBlock, ...]:
        shares = random.binomial(requests, 0.1, LEAST) / requests
        return tuple(
            WeekBlock(n, requests, {"label 0": 0.7, "label 1": float(s)})
            for n, s in enumerate(shares)
        )

    (found,) = doubled(weeks(10_000))
    assert found.needed is not None and 400 < found.needed < 900  # 64 (1 - p) / p = 576
    few = page(Watch("orders", blocks=weeks(21)), (), "2026-11-27")
    (section,) = [s for s in few.sections if s.title == "Changes that so many requests can find"]
    assert "21 requests a week" in section.sentences[0]
    assert "for 0 of 1 common answers" in section.sentences[0]
    wild = tuple(WeekBlock(n, 10_000, {"label 1": 0.05 if n % 2 else 0.15}) for n in range(LEAST))
    assert doubled(wild)[0].needed is None
    assert doubled(weeks(21)[:-1]) == ()
