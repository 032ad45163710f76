"""Paired differences: corners, symmetry, coverage."""

import numpy as np
import pytest

from appliance.statistics.paired import Pairs, count, mcnemar, tango
from appliance.statistics.proportions import Interval
from tests.statistics.simulation import rate, within


def test_the_table_of_two_answerers() -> None:
    pairs = count([True, True, False, False, True], [True, False, True, False, True])
    assert pairs == Pairs(2, 1, 1, 1)
    assert (pairs.n, pairs.difference) == (5, 0)


def test_no_interval_is_without_width() -> None:
    for pairs in (Pairs(5, 0, 0, 0), Pairs(0, 5, 0, 0), Pairs(0, 0, 0, 5), Pairs(2, 0, 3, 0)):
        low, high = tango(pairs)
        assert -1 <= low < high <= 1
        assert low <= pairs.difference <= high


def test_exchanging_the_answerers_mirrors_the_tango() -> None:
    a, b, c, d = 30, 7, 12, 9
    low, high = tango(Pairs(a, b, c, d))
    mirrored = tango(Pairs(a, c, b, d))
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("shares", [(0.6, 0.1, 0.1), (0.8, 0.02, 0.07)])
def test_coverage(shares: tuple[float, float, float]) -> None:
    known: dict[Pairs, Interval] = {}
    truth = shares[1] - shares[2]

    def missed(random: np.random.Generator) -> bool:
        table = Pairs(*random.multinomial(150, [*shares, 1 - sum(shares)]).tolist())
        low, high = known.setdefault(table, tango(table, 0.9))
        return not low <= truth <= high

    # Score intervals hold their level on average over tables, not in each: half a point more.
    assert within(rate(1500, 2, missed), 0.105, 1500)


def test_mcnemar_counts_discordant_pairs_alone() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)


def test_mcnemar_rejects_no_more_often_than_it_says() -> None:
    def rejected(random: np.random.Generator) -> bool:
        discordant = random.binomial(200, 0.2)
        first = random.binomial(discordant, 0.5)
        return mcnemar(int(first), int(discordant - first)) <= 0.05

    assert within(rate(1500, 3, rejected), 0.05, 1500)


def test_what_is_no_table() -> None:
    with pytest.raises(ValueError, match="same items"):
        count([True], [True, False])
    with pytest.raises(ValueError, match="at least one"):
        tango(Pairs(0, 0, 0, 0))
    with pytest.raises(ValueError, match="probability"):
        tango(Pairs(1, 1, 1, 1), 1.0)
    with pytest.raises(ValueError, match="not negative"):
        mcnemar(-1, 2)
