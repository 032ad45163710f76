"""One budget for models and heavy jobs; whatever comes back is told to the pool."""

import pytest

from appliance.errors import StateRefused
from appliance.wiring.pool import PoolRoom


async def test_heavy_jobs_take_their_memory_out_of_the_budget_of_the_models(
    pool: PoolRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(pool.pool, "_look", lambda: looks.append("again"))
    await pool.pool.hold("job 1", 5)
    assert pool.supervisor.budget.held == 5
    pool.pool.free("job 1")
    assert pool.supervisor.budget.held == 0


def test_a_model_that_is_not_there_has_taken_nothing(pool: PoolRoom) -> None:
    assert pool.most_memory("smol") == 0 and pool.pool.cards() == []
    with pytest.raises(StateRefused) as caught:
        pool.lifecycle.record("smol")
    assert caught.value.code == "unknown_model_id"
