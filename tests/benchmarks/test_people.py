"""The benchmark of verified people measures both cases of each algorithm."""

from pathlib import Path

import pytest

from benchmarks.people import ALGORITHMS, measure


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_algorithm_is_measured(algorithm: str, tmp_path: Path) -> None:
    cost = await measure(algorithm, 3, tmp_path)
    assert cost.algorithm == algorithm and cost.new > 0 and min(cost.known, cost.looked_up) >= 0
