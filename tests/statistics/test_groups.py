"""Group-weighted means: weights, widths, coverage, and the control over items."""

import numpy as np
import pytest

from appliance.statistics.groups import (
    cautious_difference,
    draw_by_size,
    draw_one_each,
    effective_groups,
    group_means,
    mean,
    mean_of_items,
    paired_difference,
)
from appliance.statistics.proportions import Interval, corrected, wilson
from appliance.statistics.special import normal_quantile
from tests.statistics.simulation import rate, within


def test_every_group_weighs_the_same() -> None:
    values, groups = [1, 1, 1, 1, 0], ["a", "a", "a", "a", "b"]
    assert group_means(values, groups).tolist() == [1, 0]
    assert mean(values, groups).value == 0.5
    assert mean(values, groups).groups == 2
    assert paired_difference(values, [0] * 5, groups).value == 0.5


def test_single_items_have_the_corrected_interval_of_as_many_trials() -> None:
    for right in (0, 1, 70, 100):
        found = mean([1] * right + [0] * (100 - right), range(100))
        assert found.interval == pytest.approx(corrected(right, 100), abs=1e-12)


def test_no_interval_is_without_width() -> None:
    right = mean([1] * 5, "abcde")
    assert right.interval.high == 1
    assert right.interval.low < 0.6
    same = paired_difference([1] * 5, [1] * 5, "abcde")
    assert same.value == 0
    assert same.interval.high > 0.2
    assert mean([1] * 500, [0] * 500).interval.low < 0.3  # one group is one group
    alike = mean([1, 0] * 50, [g // 2 for g in range(100)])  # every group has the mean 0.5
    assert 0.08 < alike.interval.high - alike.interval.low < 0.3


def clustered(random: np.random.Generator, groups: int, size: int, p: float) -> np.ndarray:
    """One probability for each group, uniform around `p`."""
    own = random.uniform(p - 0.15, p + 0.15, groups)
    return random.random((groups, size)) < own[:, None]


@pytest.mark.parametrize(("groups", "size"), [(60, 1), (60, 8), (200, 3)])
def test_the_mean_covers(groups: int, size: int) -> None:
    names = np.repeat(np.arange(groups), size).tolist()

    def missed(random: np.random.Generator) -> bool:
        low, high = mean(clustered(random, groups, size, 0.8).ravel().tolist(), names, 0.9).interval
        return not low <= 0.8 <= high

    assert within(rate(800, 4, missed), 0.1, 800)


@pytest.mark.parametrize(("groups", "size"), [(60, 1), (60, 8), (200, 3)])
@pytest.mark.parametrize("shift", [0.0, -0.05])
def test_the_difference_covers_on_each_side(groups: int, size: int, shift: float) -> None:
    names = np.repeat(np.arange(groups), size).tolist()
    above, below = [], []

    def missed(random: np.random.Generator) -> bool:
        first = clustered(random, groups, size, 0.7 + shift).ravel().tolist()
        second = clustered(random, groups, size, 0.7).ravel().tolist()
        low, high = paired_difference(first, second, names).interval
        above.append(low > shift)
        below.append(high < shift)
        return above[-1] or below[-1]

    rate(800, 5, missed)
    assert within(sum(above) / 800, 0.05, 800)
    assert within(sum(below) / 800, 0.05, 800)


def test_control_an_interval_over_items_misses() -> None:
    """Six groups of a hundred items as six hundred items."""

    def missed(random: np.random.Generator) -> bool:
        values = clustered(random, 6, 100, 0.8)
        low, high = wilson(int(values.sum()), 600, 0.9)
        return not low <= 0.8 <= high

    assert rate(800, 6, missed) > 0.2


def test_one_item_of_each_group_is_drawn_whatever_their_order() -> None:
    ids = [f"i{n}" for n in range(40)]
    groups = [f"g{n % 7}" for n in range(40)]
    drawn = draw_one_each(ids, groups, "seed")
    assert sorted(groups[i] for i in drawn) == sorted(set(groups))
    back = draw_one_each(ids[::-1], groups[::-1], "seed")
    assert {ids[i] for i in drawn} == {ids[::-1][i] for i in back}
    assert {ids[i] for i in drawn} != {ids[i] for i in draw_one_each(ids, groups, "other")}


def test_a_draw_is_even() -> None:
    counts = [0, 0, 0, 0]
    for seed in range(2000):
        counts[draw_one_each(["a", "b", "c", "d"], ["g"] * 4, str(seed))[0]] += 1
    assert max(abs(c - 500) for c in counts) < 100


def test_groups_are_drawn_as_often_as_they_have_items() -> None:
    """Groups of 4, 2, 1 and 1 items: each item is drawn in a quarter of all draws."""
    groups = ["a"] * 4 + ["b"] * 2 + ["c", "d"]
    ids = [f"i{n}" for n in range(8)]
    counts = np.zeros(8)
    for seed in range(2_000):
        drawn = draw_by_size(ids, groups, str(seed))
        assert len({groups[place] for place in drawn}) == len(drawn) and groups[drawn[0]] == "a"
        counts[drawn] += 1
    assert max(abs(counts - 500)) < 100
    back = draw_by_size(ids[::-1], groups[::-1], "1")
    assert {ids[::-1][i] for i in back} == {ids[i] for i in draw_by_size(ids, groups, "1")}
    alike = [f"g{n}" for n in range(8)]
    assert draw_by_size(ids, alike, "1") == draw_one_each(ids, alike, "1") == list(range(8))
    assert draw_by_size([], [], "1") == []


def test_a_heavy_group_counts_as_few() -> None:
    assert effective_groups([3] * 70) == pytest.approx(70)
    assert effective_groups([50, *[1] * 50]) == pytest.approx(100**2 / 2_550)
    assert effective_groups([]) == 0


def test_the_mean_of_items_covers_what_groups_of_unequal_sizes_are() -> None:
    """Large groups err more; the control treats the items as independent."""
    generator = np.random.default_rng(3)

    def missed(*, items: bool) -> float:
        sizes = np.where(np.arange(150) % 10 == 0, 20, 2)
        rates = generator.beta(2, 8, 150) + np.where(sizes > 2, 0.3, 0.0)
        groups = np.repeat(np.arange(150), sizes)
        wrong = (generator.random(len(groups)) < rates[groups]).astype(float).tolist()
        true = (20 * (0.2 + 0.3) + 9 * 2 * 0.2) / 38
        low, high = mean_of_items(wrong, range(len(groups)) if items else groups.tolist()).interval
        return float(not low <= true <= high)

    assert np.mean([missed(items=False) for _ in range(200)]) < 0.1
    assert np.mean([missed(items=True) for _ in range(200)]) > 0.1
    assert mean_of_items([1, 1, 1, 0], ["a", "a", "a", "b"]).value == 0.75
    with pytest.raises(ValueError, match="within 0 and 1"):
        mean_of_items([2], ["a"])


def test_what_is_no_outcome() -> None:
    with pytest.raises(ValueError, match="its group"):
        mean([1, 0], ["a"])
    with pytest.raises(ValueError, match="within 0 and 1"):
        mean([2], ["a"])
    with pytest.raises(ValueError, match="within 0 and 1"):
        paired_difference([2], [0], ["a"])
    with pytest.raises(ValueError, match="both sides"):
        paired_difference([1], [0, 1], ["a"])
    with pytest.raises(ValueError, match="an id of its own"):
        draw_one_each(["a", "a"], ["g", "g"], "seed")


def test_a_limit_that_skewness_shortens_is_moved_outward() -> None:
    """A candidate that only loses: its lower limit moves down, the upper one stays."""
    names = range(400)
    lost = [0.0] * 20 + [1.0] * 380
    cautious = cautious_difference(lost, [1.0] * 400, names)
    low, high = short(lost, [1.0] * 400)
    assert cautious.interval.low < low
    assert cautious.interval.high == pytest.approx(high, abs=1e-12)


def short(first: list[float], second: list[float], confidence: float = 0.90) -> Interval:
    """Bonett & Price's plain interval, the control."""
    gaps = np.subtract(first, second)
    middle = gaps.sum() / (len(gaps) + 2)
    spread = ((gaps * gaps).sum() + 2) / (len(gaps) + 2) - middle * middle
    reach = normal_quantile((1 + confidence) / 2) * (spread / (len(gaps) + 2)) ** 0.5
    return Interval(middle - reach, middle + reach)


def test_at_the_margin_a_candidate_that_only_loses_hardly_passes() -> None:
    """One look of four at 5 %; the control errs twice as often as it says."""
    draw, runs = np.random.default_rng(0), 2_000
    plain = cautious = 0
    for _ in range(runs):
        lost = (draw.random(455) < 0.05).astype(float)
        new, old, names = list(1 - lost), [1.0] * 455, range(455)
        plain += short(new, old, 0.975).low > -0.05
        cautious += cautious_difference(new, old, names, 0.975).interval.low > -0.05
    assert within(cautious / runs, 0.0125, runs)
    assert plain / runs > 2 * 0.0125
