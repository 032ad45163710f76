"""Kappa and repeated labels: the corners."""

import pytest

from appliance.statistics.agreement import cohen_kappa, repeated_labels


def test_kappa_takes_chance_off() -> None:
    assert cohen_kappa("aabb", "aabb").value == 1
    assert cohen_kappa("aabb", "abab").value == 0
    assert cohen_kappa("aabb", "bbaa").value == -1
    assert cohen_kappa("aaaa", "aaaa") == (0, 0, 1)
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa("a", "ab")


def test_a_published_kappa() -> None:
    """Cohen 1960's form on 20, 5, 10, 15: agreement .70, kappa .40."""
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    found = cohen_kappa(first, second)
    assert (found.value, found.agreement) == pytest.approx((0.4, 0.7))


def test_texts_that_were_labelled_more_than_once() -> None:
    pairs = [("t", "a"), ("t", "a"), ("t", "b"), ("u", "a"), ("u", "a"), ("once", "z")]
    found = repeated_labels(pairs)
    assert found.texts == 2
    assert found.agreement == pytest.approx((1 + 1) / (3 + 1))  # pairs that agree, of pairs
    assert found.ceiling == pytest.approx(4 / 5)
    assert repeated_labels([("once", "z")]) == (0, 1, 1)
