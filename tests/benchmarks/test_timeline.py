"""Tokens over time come from `usage`, spread over the pieces of text."""

import pytest

from benchmarks.generator import Answer
from benchmarks.timeline import arrivals, rate, windows


def test_tokens_are_spread_over_the_pieces() -> None:
    whole = Answer("app", 0.0, stamps=[1.0, 2.0], ended=2.0, completion_tokens=8)
    cut = Answer("app", 0.0, stamps=[1.5])
    moments = arrivals([whole, cut])
    assert moments == [(1.0, 4.0), (1.5, 1.0), (2.0, 4.0)]
    assert rate(moments, 1.0, 2.0) == 5.0
    assert rate(moments, 1.0, 3.0) == 4.5


def test_windows_add_up() -> None:
    moments = [(0.1 * i, 2.0) for i in range(20)]
    found = windows(moments, 0.0, 2.0)
    assert len(found) == 8
    assert sum(found) / 4 == pytest.approx(40.0)
    assert windows(moments, 5.0, 6.0) == [0.0] * 4
