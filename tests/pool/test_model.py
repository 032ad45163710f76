"""What the pool knows of one model, as eviction, people and the API ask for it."""

import time
from dataclasses import replace

import pytest

from appliance.app import Services
from appliance.config import ModelConfig
from appliance.pool.attempt import LoadAttempt
from appliance.pool.model import PooledModel
from appliance.workers.memory_estimate import Estimate
from tests.smol import ID

NEEDS = Estimate(sealed=5, weights=0, kv=0, compute=0, process=0)


def made(services: Services, model_id: str = "other", inside: int = 0) -> PooledModel:
    return PooledModel(
        model_id, ModelConfig(), services.supervisor, lambda _: inside, lambda _: NEEDS
    )


def attempt() -> LoadAttempt:
    return LoadAttempt("other", "uid:0", "by hand", 7, lambda: False)


def test_a_model_that_is_not_in_memory(services: Services) -> None:
    model = made(services)
    assert (model.activity, model.in_memory, model.open, model.served) == ("", False, False, None)
    assert (model.size, model.waiting, model.idle_seconds) == (NEEDS.total, 0, None)
    assert model.changing  # it takes memory only while it comes or goes
    model.why_unloaded = "idle for 5 s"
    assert model.unloaded == "idle for 5 s"
    model.attempt = attempt()
    assert (model.activity, model.size, model.unloaded) == ("loading", 7, "")


def test_patience_grows_with_the_time_that_a_load_takes(services: Services) -> None:
    model = made(services)
    assert model.patience == 2.0
    model.took = 30.0
    assert model.patience == 60.0


async def test_a_model_in_memory(ready: Services) -> None:
    idle, busy = made(ready, ID), made(ready, ID, inside=1)
    assert (idle.activity, busy.activity) == ("idle", "busy")
    assert idle.open and not idle.changing and not idle.pinned
    assert idle.size == ready.supervisor.budget.of(ID) != NEEDS.total
    assert not idle.answered and idle.last_use == idle.since <= time.monotonic()
    busy.used = time.monotonic()
    assert busy.answered and busy.last_use == busy.used
    assert busy.idle_seconds is not None and busy.idle_seconds >= 0


@pytest.mark.parametrize("why", ["closed", "attempt", "waiters"])
async def test_requests_enter_at_once_only_where_nothing_is_in_the_way(
    ready: Services, why: str
) -> None:
    model = made(ready, ID)
    assert model.open
    if why == "closed":
        model.closed = True
    elif why == "attempt":
        model.attempt = attempt()
    else:
        model.waiters.since = 1.0
    assert not model.open


def test_keep_alive_below_zero_is_without_end(services: Services) -> None:
    model = made(services)
    for seconds, told in ((-1, None), (0, 0.0), (5, 5.0)):
        model.settings = replace(model.settings, keep_alive=seconds)
        assert model.keep_alive == told
