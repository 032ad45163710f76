"""Loads and evictions under way, with a loader that does what the test says."""

import asyncio
from typing import cast

import pytest

from appliance.config import Config, ModelConfig
from appliance.errors import ApplianceError, AuditUnavailable, StateRefused
from appliance.pool.loader import Loader
from appliance.pool.loading import Loads
from appliance.pool.model import PooledModel
from appliance.registry.importing import Progress
from appliance.trust.store import ModelRecord
from appliance.workers.supervisor import Supervisor
from tests.smol import until

Failure = ApplianceError | None


async def no_record(_kind: str, _fields: object) -> None:
    """Nothing is started."""


def model(model_id: str = "m") -> PooledModel:
    supervisor = Supervisor(Config(), None, no_record, lambda _: None)  # type: ignore[arg-type]
    return PooledModel(model_id, ModelConfig(), supervisor, lambda _: 0, lambda _: None)


class Script:
    """A loader that reports once, waits for the test, and fails if it says so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: Failure = None
        self.unloads: list[tuple[str, str]] = []

    async def load(
        self, model: PooledModel, _actor: str, progress: Progress, *, reason: str
    ) -> ModelRecord:
        progress("sealing", 1, 2)
        await self.go.wait()
        if self.failure:
            raise self.failure
        return ModelRecord(model.id, "serving", message=reason)

    async def unload(
        self, _model: PooledModel, _actor: str, model_id: str, *, event: str, reason: str
    ) -> None:
        self.unloads.append((event, model_id))
        if self.failure:
            raise self.failure


def make() -> tuple[Script, Loads, list[tuple[str, str, Failure]]]:
    script, ended = Script(), []
    loads = Loads(
        cast(Loader, script), lambda model, reason, error: ended.append((model.id, reason, error))
    )
    return script, loads, ended


async def test_a_load_keeps_its_newest_report_and_says_that_it_ended() -> None:
    script, loads, ended = make()
    loaded = model()
    loads.begin(loaded, "uid:0", "by hand")
    await asyncio.sleep(0)
    under_way = loaded.attempt
    assert under_way is not None and loaded.activity == "loading"
    assert (under_way.phase, under_way.done) == ("sealing", 1)
    watching = asyncio.create_task(loads.outcome(loaded))
    await asyncio.sleep(0)
    script.go.set()
    assert (await watching).message == "by hand"
    assert ended == [("m", "by hand", None)] and loaded.attempt is None
    assert loaded.took > 0


async def test_room_is_made_before_anything_is_loaded() -> None:
    _, loads, _ = make()
    made, loaded = asyncio.Event(), model()

    async def room() -> None:
        await made.wait()

    loads.begin(loaded, "uid:0", "by hand", room)
    await asyncio.sleep(0)
    assert loaded.attempt is not None and loaded.attempt.phase == "waiting"
    under_way = loaded.attempt
    made.set()
    await until(lambda: under_way.phase == "sealing")
    await loads.close()


async def test_a_failed_load_reaches_who_watches_and_who_decides() -> None:
    script, loads, ended = make()
    script.failure = StateRefused("insufficient_memory", "no room")
    loaded = model()
    loads.begin(loaded, "appliance", "on demand")
    script.go.set()
    with pytest.raises(StateRefused):
        await loads.outcome(loaded)
    assert ended == [("m", "on demand", script.failure)] and loaded.took == 0.0


async def test_an_eviction_keeps_its_reason_unless_somebody_else_was_first() -> None:
    script, loads, ended = make()
    first, second = model(), model("n")
    await loads.evict(first, "idle")
    assert script.unloads == [("evict", "m")] and first.unloaded == "idle"
    script.failure = StateRefused("wrong_state", "gone already")
    await loads.evict(second, "idle")
    assert second.unloaded == "" and [told[0] for told in ended] == ["m", "n"]


async def test_an_eviction_without_a_record_waits_before_it_is_tried_again() -> None:
    script, loads, ended = make()
    script.failure = AuditUnavailable("audit_unavailable", "no space")
    evicted = model()
    task = loads.evict(evicted, "idle")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done() and loads.evict(evicted, "again") is task
    await task
    assert evicted.unloaded == "" and ended == [("m", "idle", None)]


async def test_closing_gives_loads_up_and_stops_those_that_come_later() -> None:
    _, loads, _ = make()
    loaded, later = model(), model("n")
    loads.begin(loaded, "uid:0", "by hand")
    await asyncio.sleep(0)
    under_way = loaded.attempt
    await loads.close()
    assert loaded.attempt is None and under_way is not None and under_way.stopped
    loads.begin(later, "uid:0", "by hand")
    with pytest.raises(ApplianceError, match="stopping"):
        await loads.outcome(later)
