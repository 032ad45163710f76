"""The use-case of an answer while its model comes or goes, the disk is short or the server stops.

Each takes a state that later tests need, so each loads the model itself.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.config import AuditConfig
from appliance.errors import AuditUnavailable, NotFound, Unavailable, WorkerLost
from tests.answers import Slow, body, collect
from tests.smol import ID, SMALL, caller, request, sealed, until


async def test_a_model_unloaded_while_the_intent_is_written_gives_an_error_and_an_outcome(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(ready, monkeypatch, "intent")
    starting = asyncio.create_task(ready.inference.start(caller(), request()))
    await slow.asked.wait()
    await ready.supervisor.stop(ID)
    slow.gate.set()
    generation = await starting
    with pytest.raises(WorkerLost):
        await collect(generation)
    assert generation.outcome is not None
    assert body(ready, generation.outcome.seq)["status"] == "error"


async def test_below_the_disk_reserve_no_new_work_is_taken(smol_data: Path) -> None:
    config = replace(SMALL, audit=AuditConfig(reserve_mib=1 << 20))
    with open_services(smol_data, config=config) as services:
        await services.supervisor.start(sealed(services))
        size = services.audit.size
        with pytest.raises(AuditUnavailable):
            await services.inference.start(caller(), request())
        (status,) = services.supervisor.status()
        assert status.running == 0 and services.inference.running() == []
        assert services.audit.size == size
        await services.supervisor.close()


async def test_an_unknown_model_is_not_found_and_one_that_starts_is_not_ready(
    services: Services,
) -> None:
    with pytest.raises(NotFound):
        await services.inference.start(caller(), replace(request(), model="nothing"))
    loading = asyncio.create_task(services.supervisor.start(sealed(services)))
    await until(lambda: services.supervisor.is_loaded(ID))
    with pytest.raises(Unavailable) as caught:
        await services.inference.start(caller(), request())
    assert caught.value.code == "model_loading"
    await loading
    await services.supervisor.close()


async def test_draining_waits_and_then_cancels(ready: Services) -> None:
    short = await ready.inference.start(caller(), request(max_tokens=2))
    await ready.inference.drain(60)
    with pytest.raises(Unavailable) as caught:
        await ready.inference.start(caller(), request())
    assert caught.value.code == "shutting_down"
    ready.inference.under_way.draining = False
    assert short.outcome is not None and ready.inference.running() == []
    long = await ready.inference.start(caller(), request(max_tokens=500))
    await ready.inference.drain(0)
    assert long.outcome is not None
    assert body(ready, long.outcome.seq)["status"] == "cancelled"
