"""Loads and evictions under way, with a loader that does what the test says."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from appliance.config import Config, ModelConfig
from appliance.errors import ApplianceError, AuditUnavailable, StateRefused, Unavailable
from appliance.jobs.jobs import Jobs
from appliance.jobs.states import JobState
from appliance.pool.loader import Loader
from appliance.pool.loading import Loads
from appliance.pool.model import PooledModel
from appliance.trust.artifacts.store import ModelRecord
from appliance.types import Report
from appliance.workers.supervisor import Supervisor
from tests.jobs.shop import shop
from tests.smol import until

Failure = ApplianceError | None


async def no_record(_kind: str, _fields: object) -> None:
    """Nothing is started."""


def model(model_id: str = "m") -> PooledModel:
    supervisor = Supervisor(Config(), None, no_record, lambda _: None, lambda model: model)  # type: ignore[arg-type]
    return PooledModel(model_id, ModelConfig(), supervisor, lambda _: 0, lambda _: None)


class Script:
    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: Failure = None
        self.unloads: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.rooms = 0

    async def load(
        self, model: PooledModel, _actor: str, progress: Report, *, reason: str
    ) -> ModelRecord:
        self.loads.append(model.id)
        while not self.go.is_set():
            progress("sealing", 1, 2)
            await asyncio.sleep(0.005)
        if self.failure:
            raise self.failure
        return ModelRecord(model.id, "serving", message=reason)

    async def unload(
        self, _model: PooledModel, _actor: str, model_id: str, *, event: str, reason: str
    ) -> None:
        self.unloads.append((event, model_id))
        if self.failure:
            raise self.failure


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with shop(tmp_path) as made:
        yield made.jobs


def make(jobs: Jobs, *models: PooledModel) -> tuple[Script, Loads, list[tuple[str, str, Failure]]]:
    script, ended = Script(), []

    async def room(_actor: str, _model: PooledModel) -> None:
        script.rooms += 1

    loads = Loads(
        cast(Loader, script),
        lambda model, reason, error: ended.append((model.id, reason, error)),
        jobs,
        {each.id: each for each in models}.__getitem__,
        room,
    )
    return script, loads, ended


async def test_a_load_is_a_job_with_its_newest_report(jobs: Jobs) -> None:
    loaded = model()
    script, loads, ended = make(jobs, loaded)
    under_way = loads.begin(loaded, "uid:0", "by hand")
    assert loaded.attempt is under_way and loaded.activity == "loading"
    await until(lambda: under_way.phase == "sealing")
    assert under_way.done == 1
    (shown,) = await jobs.newest()
    assert (shown.job.kind, shown.job.title, shown.job.actor) == ("load", "m, by hand", "uid:0")
    assert (shown.job.progress.phase, shown.actions) == ("sealing", ("cancel",))
    watching = asyncio.create_task(loads.outcome(under_way))
    script.go.set()
    assert (await watching).message == "by hand"
    assert ended == [("m", "by hand", None)] and loaded.activity == ""
    assert loaded.took > 0
    job = (await jobs.get(shown.job.id)).job
    assert job.result is not None and json.loads(job.result)["model"] == "m"


async def test_room_is_made_before_anything_is_loaded(jobs: Jobs) -> None:
    loaded = model()
    _, loads, _ = make(jobs, loaded)
    made, asked = asyncio.Event(), asyncio.Event()

    async def room() -> None:
        asked.set()
        await made.wait()

    under_way = loads.begin(loaded, "uid:0", "by hand", room)
    await asked.wait()
    assert under_way.phase == "waiting"
    made.set()
    await until(lambda: under_way.phase == "sealing")
    await loads.close()


async def test_a_failed_load_reaches_who_watches_and_who_decides(jobs: Jobs) -> None:
    loaded = model()
    script, loads, ended = make(jobs, loaded)
    script.failure = StateRefused("insufficient_memory", "no room")
    script.go.set()
    with pytest.raises(StateRefused):
        await loads.outcome(loads.begin(loaded, "appliance", "on demand"))
    assert ended == [("m", "on demand", script.failure)] and loaded.took == 0.0


async def test_a_load_that_never_begins_is_told_once(jobs: Jobs) -> None:
    loaded = model()
    script, loads, ended = make(jobs, loaded)
    jobs._audit.close()
    with pytest.raises(AuditUnavailable):
        await loads.outcome(loads.begin(loaded, "uid:0", "by hand"))
    await until(lambda: bool(ended))
    ((name, reason, error),) = ended
    assert (name, reason) == ("m", "by hand")
    assert error is not None and error.code == "audit_unavailable"
    assert loaded.attempt is None and not script.loads


async def test_a_load_is_cancelled_and_a_watcher_that_leaves_ends_it(jobs: Jobs) -> None:
    def gone(_phase: str, _done: int, _total: int) -> None:
        raise Unavailable("interrupted", "It went away.")

    loaded = model()
    _, loads, ended = make(jobs, loaded)
    with pytest.raises(Unavailable) as caught:
        await loads.outcome(loads.begin(loaded, "uid:0", "by hand"), gone)
    assert caught.value.code == "interrupted"
    (shown,) = await jobs.newest()
    assert (shown.job.state, shown.job.code) == (JobState.CANCELLED, "interrupted")

    under_way = loads.begin(loaded, "uid:0", "by hand")
    await until(lambda: under_way.phase == "sealing")
    assert under_way.live is not None
    await jobs.cancel(under_way.live.job.id, "uid:0")
    with pytest.raises(Unavailable):
        await loads.outcome(under_way)
    assert [error.code for _, _, error in ended if error] == ["interrupted", "job_cancelled"]


async def test_a_load_that_a_person_asked_the_jobs_for_makes_room_too(jobs: Jobs) -> None:
    loaded = model()
    script, loads, ended = make(jobs, loaded)
    script.go.set()
    live = await jobs.start("load", {"model": "m"}, "uid:0")
    assert (await live.outcome()).document["model"] == "m"
    assert (script.rooms, ended) == (1, [("m", "by hand", None)])
    script.go.clear()
    under_way = loads.begin(loaded, "uid:0", "by hand")
    second = await jobs.start("load", {"model": "m"}, "uid:0")
    with pytest.raises(StateRefused) as caught:
        await second.outcome()
    assert caught.value.code == "wrong_state"
    assert loaded.attempt is under_way  # the first one goes on
    await loads.close()


async def test_an_eviction_keeps_its_reason_unless_somebody_else_was_first(jobs: Jobs) -> None:
    script, loads, ended = make(jobs)
    first, second = model(), model("n")
    await loads.evict(first, "idle")
    assert script.unloads == [("evict", "m")] and first.unloaded == "idle"
    script.failure = StateRefused("wrong_state", "gone already")
    await loads.evict(second, "idle")
    assert second.unloaded == "" and [told[0] for told in ended] == ["m", "n"]


async def test_an_eviction_without_a_record_waits_before_it_is_tried_again(jobs: Jobs) -> None:
    script, loads, ended = make(jobs)
    script.failure = AuditUnavailable("audit_unavailable", "no space")
    evicted = model()
    task = loads.evict(evicted, "idle")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done() and loads.evict(evicted, "again") is task
    await task
    assert evicted.unloaded == "" and ended == [("m", "idle", None)]


async def test_closing_gives_loads_up_and_stops_those_that_come_later(jobs: Jobs) -> None:
    loaded, later = model(), model("n")
    _, loads, _ = make(jobs, loaded, later)
    under_way = loads.begin(loaded, "uid:0", "by hand")
    await until(lambda: under_way.phase == "sealing")
    await loads.close()
    assert loaded.attempt is None and under_way.stopped
    with pytest.raises(ApplianceError, match="stopping"):
        await loads.outcome(loads.begin(later, "uid:0", "by hand"))
