"""Candidates: nearly all alike pairs, few others."""

import numpy as np
import pytest

from appliance.datasets import minhash


def sets(count: int, shared: int, size: int = 40) -> list[minhash.Hashes]:
    """Jaccard index: shared / (2 * size - shared)."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(count):
        values = random.integers(0, 1 << 63, 2 * size - shared, dtype=np.uint64)
        found += [np.sort(values[:size]), np.sort(values[size - shared :])]
    return found


def hits(shared: int) -> int:
    data = sets(300, shared)
    codes, _, complete = minhash.candidates(data, np.zeros(len(data), dtype=bool), 0.4)
    assert complete
    found = {divmod(int(code), len(data)) for code in codes}
    return sum((2 * n, 2 * n + 1) in found for n in range(300))


def test_pairs_at_the_threshold_are_found() -> None:
    assert hits(30) == 300  # 0.6
    assert hits(35) == 300


def test_pairs_far_below_it_are_not() -> None:
    assert hits(6) < 15  # 0.08


def test_pairs_that_are_apart_are_none() -> None:
    data = sets(10, 38)
    codes, shares, _ = minhash.candidates(data, np.ones(len(data), dtype=bool), 0.4)
    assert len(codes) == len(shares) == 0


def test_too_many_pairs_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [np.arange(5, dtype=np.uint64)] * 60
    monkeypatch.setattr(minhash, "MOST_PAIRS", 50)
    _, _, complete = minhash.candidates(same, np.zeros(60, dtype=bool), 0.4)
    assert not complete
