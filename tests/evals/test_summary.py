"""Summaries and comparisons: groups are counted, failures too, and all intervals hold together."""

from dataclasses import replace

import numpy as np
import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.summary import compare, compare_all, summarise
from tests.evals.example import outcomes


def test_quality_speed_and_failures() -> None:
    some = outcomes(90)
    some[0] = replace(some[0], answer=None, micros=0, failure="timeout", confidence_micros=None)
    told = summarise("c", some, seconds=60)
    assert told.quality.value == pytest.approx(89 / 120)
    assert told.quality.groups == 60
    assert told.quality.interval.low < 89 / 120 < told.quality.interval.high
    assert (told.items, told.documents_per_second, told.tokens) == (120, 2.0, 120)
    assert told.failures == {"timeout": 1}
    assert set(told.slices) == {"north", "south"}
    assert told.calibration_error is not None
    low, high = told.calibration_error.interval
    assert low < 0.9 - 89 / 119 < high and told.calibration_error.groups == 60


def test_quantiles_are_times_that_were_measured() -> None:
    some = [replace(o, microseconds=n * 1_000_000) for n, o in enumerate(outcomes(5, of=20), 1)]
    told = summarise("c", some, 1)
    assert (told.p50, told.p95) == (10, 19)
    one = summarise("c", some[:1], 1)
    assert (one.p50, one.p95) == (1, 1)


def test_five_of_five_has_an_interval_with_a_width() -> None:
    told = summarise("c", outcomes(5, of=5), 1)
    assert told.quality.value == 1
    assert told.quality.interval.low < 0.8


def test_nothing_is_no_evaluation() -> None:
    with pytest.raises(EvaluationRefused) as caught:
        summarise("c", [], 1)
    assert caught.value.code == "evaluation_empty"


def test_a_comparison_is_paired_and_names_the_flips() -> None:
    told = compare("a", outcomes(100), "b", outcomes(90))
    assert told.difference.value == pytest.approx(10 / 120)
    assert told.gained == tuple(f"i{n:03}" for n in range(90, 100))
    assert told.lost == ()


def test_a_thing_compared_with_itself_differs_by_nothing() -> None:
    told = compare("a", outcomes(90), "a", outcomes(90))
    assert told.difference.value == 0
    assert told.difference.interval.low < 0 < told.difference.interval.high


def test_other_items_cannot_be_compared() -> None:
    for other in (outcomes(5, of=10), [*outcomes(90)[:-1], outcomes(90)[0]]):
        with pytest.raises(EvaluationRefused) as caught:
            compare("a", outcomes(90), "b", other)
        assert caught.value.code == "outcomes_incomplete"


def test_a_timeout_on_one_side_counts_against_that_side() -> None:
    some = [
        replace(o, answer=None, micros=0, failure="timeout", confidence_micros=None)
        if n < 30
        else o
        for n, o in enumerate(outcomes(120))
    ]
    assert compare("a", some, "b", outcomes(120)).difference.value == pytest.approx(-0.25)


def test_the_best_of_twenty_equal_candidates_is_seldom_shown_to_be_better() -> None:
    """The control without Bonferroni errs more than twice as often as stated."""
    random = np.random.default_rng(1)
    wrong = plain = 0
    runs = 60
    for _ in range(runs):
        right = random.random((21, 80)) < 0.7
        candidates = {
            str(n): [
                replace(o, group=o.item, micros=int(hit) * 1_000_000, answer="a" if hit else "b")
                for o, hit in zip(outcomes(0, of=80), hits, strict=True)
            ]
            for n, hits in enumerate(right)
        }
        wrong += any(c.difference.interval.low > 0 for c in compare_all("0", candidates))
        plain += any(
            compare(n, o, "0", candidates["0"]).difference.interval.low > 0
            for n, o in candidates.items()
            if n != "0"
        )
    assert wrong / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5
    assert plain / runs > 0.10


def test_a_calibration_plot_has_parts_of_about_as_many_answers() -> None:
    """Surer answers are more often right here, and each part has its interval over groups."""
    made = [
        replace(
            o,
            confidence_micros=500_000 + 4_000 * n,
            micros=1_000_000 if n % 10 < 4 + n // 20 else 0,
        )
        for n, o in enumerate(outcomes(120))
    ]
    found = summarise("a", made, 1.0).reliability
    assert len(found) == 6 and [at for at, _ in found] == sorted(at for at, _ in found)
    assert found[0][0] == pytest.approx(0.538) and found[0][1].value == pytest.approx(0.4)
    assert found[-1][1].value > found[0][1].value
    assert all(e.interval.low <= e.value <= e.interval.high for _, e in found)
    assert summarise("a", made[:39], 1.0).reliability == ()
    silent = [replace(o, confidence_micros=None) for o in made]
    assert summarise("a", silent, 1.0).reliability == ()
