"""Models that are loaded on demand under a budget: real workers, a real log."""

import asyncio
import contextlib
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import appliance
from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.config import AuditConfig, Config
from appliance.errors import (
    AuditUnavailable,
    NotFound,
    StateRefused,
    Unauthenticated,
    Unavailable,
)
from appliance.registry.audit_entries import SYSTEM
from appliance.serving import inference
from appliance.types import Caller, Limits
from tests.answers import collect
from tests.several import NAMES, SETTINGS, ask, config, make_models
from tests.smol import quiet, until

ACTOR = "uid:4711"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Path:
    return make_models(tmp_path_factory.mktemp("several"), dict.fromkeys(NAMES, narrow_path))


@pytest.fixture(scope="module")
def each_mib(three: Path) -> int:
    with open_services(three, config=config()) as services:
        needs = services.pool.model("one").needs
        assert needs is not None
        return needs.total // (1 << 20) + 1


@contextlib.asynccontextmanager
async def opened(data: Path, settings: Config) -> AsyncIterator[Services]:
    with open_services(data, config=settings) as services:
        try:
            yield services
        finally:
            await services.pool.close()
            await services.inference.drain(30)
            await services.supervisor.close()


def app(services: Services) -> Caller:
    _, secret = services.keys.create(f"app-{uuid.uuid4()}", limits=Limits())
    return Caller(services.keys.authenticate(secret), "r-1", "127.0.0.1", "/v1/completions")


async def answered(services: Services, model: str, who: Caller | None = None) -> str:
    generation = await services.inference.start(who or app(services), ask(model))
    text, _ = await collect(generation)
    return text


def loaded(services: Services) -> set[str]:
    return {status.model for status in services.supervisor.status()}


def entries(services: Services, kind: str, seen: int) -> list[dict[str, Any]]:
    found = services.reader.search(Query(kind=kind, limit=1000)).entries
    return [dict(e.body) for e in sorted(found, key=lambda e: e.seq) if e.seq >= seen]


def happened(services: Services, seen: int) -> list[tuple[str, str]]:
    return [
        ("serving" if e["state"] == "serving" and e["event"] == "state" else e["event"], e["model"])
        for e in entries(services, "model", seen)
        if e["state"] != "staged"
    ]


async def test_a_request_loads_its_model_and_many_that_wait_cause_one_load(three: Path) -> None:
    async with opened(three, config()) as services:
        seen = services.audit.size
        texts = await asyncio.gather(*(answered(services, "one") for _ in range(6)))
        assert len(set(texts)) == 1 and texts[0]
        assert happened(services, seen) == [("serving", "one")]
        (staged,) = [e for e in entries(services, "model", seen) if e["state"] == "staged"]
        assert (staged["actor"], staged["reason"]) == (SYSTEM, "on demand")
        assert staged["needs_mib"] == services.supervisor.budget.taken >> 20
        await answered(services, "one")  # it is there now
        assert happened(services, seen) == [("serving", "one")]


async def test_what_was_used_longest_ago_gives_way_with_the_reason(
    three: Path, each_mib: int
) -> None:
    async with opened(three, config(2 * each_mib)) as services:
        seen = services.audit.size
        for name in ("one", "two", "one", "three"):
            await answered(services, name)
        assert loaded(services) == {"one", "three"}
        assert happened(services, seen) == [
            ("serving", "one"),
            ("serving", "two"),
            ("evict", "two"),
            ("serving", "three"),
        ]
        (evicted,) = [e for e in entries(services, "model", seen) if e["event"] == "evict"]
        assert evicted["reason"] == "to make room for three" and evicted["actor"] == SYSTEM
        standing = services.pool.model("two")
        assert (standing.activity, standing.unloaded) == ("", "to make room for three")
        assert services.pool.model("three").activity == "idle"
        await answered(services, "two")
        assert services.pool.model("two").unloaded == ""


async def test_a_busy_model_is_waited_for_and_a_pinned_one_left_alone(
    three: Path, each_mib: int
) -> None:
    pinned = config(2 * each_mib, one=replace(SETTINGS, pinned=True))
    async with opened(three, pinned) as services:
        await answered(services, "one")
        long = await services.inference.start(app(services), ask("two", max_tokens=100))
        waiting = asyncio.create_task(answered(services, "three"))
        await until(lambda: services.pool.model("three").activity == "waiting")
        standing = services.pool.model("two")
        assert (standing.activity, services.pool.model("one").pinned) == ("busy", True)
        text, _ = await collect(long)
        assert long.completion_tokens == 100 and text  # it was not cut off
        assert await waiting
        assert loaded(services) == {"one", "three"}


async def test_who_waits_for_memory_gets_it_from_models_that_are_never_idle(
    three: Path, each_mib: int
) -> None:
    """Two models get requests without a pause; the third one's turn comes all the same."""
    async with opened(three, config(2 * each_mib)) as services:
        over = asyncio.Event()

        async def keep_busy(name: str) -> int:
            count = 0
            while not over.is_set():
                await answered(services, name)
                count += 1
            return count

        floods = [asyncio.create_task(keep_busy(name)) for name in ("one", "one", "two", "two")]
        await until(lambda: loaded(services) == {"one", "two"})
        assert await answered(services, "three")
        over.set()
        assert min(await asyncio.gather(*floods)) > 0


async def test_what_never_fits_is_refused_at_once_and_not_shown(three: Path, each_mib: int) -> None:
    async with opened(three, config(each_mib // 2)) as services:
        assert services.inference.cards(app(services).principal) == []
        assert not services.pool.ready()
        with pytest.raises(NotFound):
            await answered(services, "one")
    pinned = config(each_mib + each_mib // 2, one=replace(SETTINGS, pinned=True))
    async with opened(three, pinned) as services:
        waiting = asyncio.create_task(answered(services, "one"))
        also = asyncio.create_task(answered(services, "two"))  # asked for before that is clear
        assert await waiting
        seen = services.audit.size
        with pytest.raises(Unavailable) as caught:
            await also
        assert (caught.value.code, caught.value.retry_after) == ("model_unavailable", 60)
        with pytest.raises(NotFound):
            await answered(services, "two")
        assert [c.id for c in services.inference.cards(app(services).principal)] == ["one"]
        refusals = [e for e in entries(services, "model", seen - 5) if e["code"]]
        assert [(e["event"], e["code"]) for e in refusals] == [
            ("load_refused", "insufficient_memory")
        ]
        assert "MiB are taken" in refusals[0]["reason"]


async def test_who_cannot_be_served_in_time_is_told_when_to_come_again(
    three: Path, each_mib: int
) -> None:
    async with opened(three, config(each_mib, wait=0)) as services:
        with pytest.raises(Unavailable) as caught:
            await answered(services, "one")
        assert caught.value.code == "model_loading" and caught.value.retry_after
        assert services.shares.inside("one") == services.shares.queued("one") == 0
        await until(lambda: services.pool.model("one").activity == "idle")
        await until(lambda: not services.pool.model("one").waiters)  # it lets requests in
        assert await answered(services, "one")  # what it asked for went on


async def test_a_client_that_goes_away_while_it_waits_leaves_nothing_behind(three: Path) -> None:
    async with opened(three, config()) as services:
        gone = asyncio.create_task(answered(services, "one"))
        await until(lambda: services.pool.model("one").waiting == 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        standing = services.pool.model("one")
        assert (standing.waiting, services.shares.inside("one")) == (0, 0)
        await until(lambda: services.pool.model("one").activity == "idle")


@pytest.mark.parametrize("keep_alive", [0, 1])
async def test_a_model_ends_when_it_was_idle_for_its_time(three: Path, keep_alive: int) -> None:
    settings = config(one=replace(SETTINGS, keep_alive=keep_alive))
    async with opened(three, settings) as services:
        await services.pool.load(ACTOR, "one", quiet)
        assert loaded(services) == {"one"}  # a model that nobody has used yet stays
        await answered(services, "one")
        await answered(services, "two")
        await until(lambda: loaded(services) == {"two"})
        why = f"idle for {keep_alive} s"
        await until(lambda: services.pool.model("one").unloaded == why)
        assert services.pool.ready()
        assert await answered(services, "one")


async def test_a_model_that_is_not_for_requests_is_loaded_by_hand_only(three: Path) -> None:
    async with opened(three, config(one=replace(SETTINGS, on_demand=False))) as services:
        with pytest.raises(NotFound):
            await answered(services, "one")
        assert {c.id for c in services.inference.cards(app(services).principal)} == {"two", "three"}
        await services.pool.load(ACTOR, "one", quiet)
        assert await answered(services, "one")
        await services.pool.unload(ACTOR, "one")
        assert services.pool.model("one").unloaded == f"by {ACTOR}"
        with pytest.raises(NotFound):
            await answered(services, "one")


async def test_a_person_gets_room_from_idle_models_and_is_refused_beside_busy_ones(
    three: Path, each_mib: int
) -> None:
    async with opened(three, config(each_mib)) as services:
        await answered(services, "one")
        seen = services.audit.size
        assert (await services.pool.load(ACTOR, "two", quiet)).state == "serving"
        assert happened(services, seen) == [("evict", "one"), ("serving", "two")]
        long = await services.inference.start(app(services), ask("two", max_tokens=200))
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, "one", quiet)
        assert caught.value.code == "insufficient_memory"
        await collect(long)
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, "two", quiet)
        assert caught.value.code == "wrong_state" and loaded(services) == {"two"}
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, "nothing", quiet)
        assert caught.value.code == "unknown_model_id" and loaded(services) == {"two"}


async def test_loading_what_is_loaded_does_not_keep_requests_from_it_later(three: Path) -> None:
    async with opened(three, config()) as services:
        await answered(services, "one")
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, "one", quiet)
        assert caught.value.code == "wrong_state"
        await services.pool.unload(ACTOR, "one")
        assert await answered(services, "one")


async def test_a_request_outlives_an_unloading_of_its_model_while_that_is_loaded(
    three: Path,
) -> None:
    async with opened(three, config()) as services:
        waiting = asyncio.create_task(answered(services, "one"))
        await until(lambda: services.supervisor.is_loaded("one"))
        await services.pool.unload(ACTOR, "one")
        assert await waiting


async def test_a_person_can_watch_the_load_that_a_request_began(three: Path) -> None:
    async with opened(three, config()) as services:
        waiting = asyncio.create_task(answered(services, "one"))
        await until(lambda: services.pool.model("one").activity == "loading")
        seen: list[tuple[str, int, int]] = []
        record = await services.pool.load(ACTOR, "one", lambda *step: seen.append(step))
        assert record.state == "serving" and await waiting
        assert {"sealing", "loading"} <= {phase for phase, _, _ in seen}


async def test_a_load_that_a_person_cancels_is_not_begun_again_for_a_minute(three: Path) -> None:
    async with opened(three, config()) as services:
        await services.pool.load(ACTOR, "one")  # it can be loaded: the positive control
        await services.pool.unload(ACTOR, "one")
        before = [shown.job.title for shown in await services.jobs.newest()]
        assert before[0] == "one, by hand"
        cancelled = Unavailable("job_cancelled", "Job 1 was cancelled.")
        services.pool._load_ended(services.pool.model("one"), "on demand", cancelled)
        with pytest.raises(Unavailable) as caught:
            await answered(services, "one")
        assert caught.value.code == "model_unavailable"
        assert [shown.job.title for shown in await services.jobs.newest()] == before


async def test_a_watcher_that_goes_away_ends_its_own_load_and_no_other(three: Path) -> None:
    def gone(_phase: str, _done: int, _total: int) -> None:
        raise Unavailable("interrupted", "The caller went away.")

    async with opened(three, config()) as services:
        with pytest.raises(Unavailable):
            await services.pool.load(ACTOR, "one", gone)
        assert loaded(services) == set() and services.supervisor.budget.taken == 0
        waiting = asyncio.create_task(answered(services, "one"))
        await until(lambda: services.pool.model("one").activity == "loading")
        await services.pool.load(ACTOR, "one", gone)  # it only looked
        assert await waiting


async def test_the_start_loads_what_fits_pinned_models_first(three: Path, each_mib: int) -> None:
    settings = config(
        2 * each_mib,
        two=replace(SETTINGS, pinned=True),
        one=replace(SETTINGS, autoload=False),
    )
    async with opened(three, settings) as services:
        assert not services.pool.ready()  # the first model of the start is awaited
        assert await services.pool.autoload() == []
        assert loaded(services) == {"two", "three"}
    tight = replace(settings, engine=replace(settings.engine, memory_mib=each_mib))
    async with opened(three, tight) as services:
        (problem,) = await services.pool.autoload()
        assert problem.startswith("three: ") and loaded(services) == {"two"}
    none = config(default=replace(SETTINGS, autoload=False))
    async with opened(three, none) as services:
        assert await services.pool.autoload() == []
        assert services.pool.ready()  # a request would load one


@pytest.fixture
def copy(three: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(three, tmp_path / "copy")
    return tmp_path / "copy"  # type: ignore[return-value]


async def test_trust_is_checked_at_every_load_and_a_failure_is_not_tried_at_once_again(
    copy: Path, each_mib: int
) -> None:
    async with opened(copy, config(each_mib)) as services:
        assert await answered(services, "one")
        assert await answered(services, "two")  # evicts the first
        gguf = copy / "models" / "one" / "model.gguf"
        gguf.chmod(0o600)
        with gguf.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
        seen = services.audit.size
        waiting = [asyncio.create_task(answered(services, "one")) for _ in range(3)]
        for task in waiting:
            with pytest.raises(Unavailable) as caught:
                await task
            assert caught.value.code == "model_unavailable"
            assert "digest" not in caught.value.message
        with pytest.raises(Unavailable) as caught:
            await answered(services, "one")
        assert caught.value.code == "model_unavailable" and caught.value.retry_after
        refused = [e for e in entries(services, "model", seen) if e["event"] == "load_refused"]
        assert [(e["model"], e["code"]) for e in refused] == [("one", "file_changed")]
        assert await answered(services, "two")  # nobody else is hurt
        assert services.supervisor.budget.taken >> 20 == each_mib - 1


async def test_an_approval_that_is_withdrawn_while_a_request_waits_sends_it_away(
    copy: Path, each_mib: int
) -> None:
    async with opened(copy, config(each_mib)) as services:
        await answered(services, "one")
        long = await services.inference.start(app(services), ask("one", max_tokens=200))
        waiting = asyncio.create_task(answered(services, "two"))
        await until(lambda: services.pool.model("two").waiting == 1)
        await services.pool.suspend(ACTOR, "two", "odd")
        await long.cancel()
        with pytest.raises(Unavailable, match="two is suspended: odd") as caught:
            await waiting
        assert caught.value.code == "model_suspended"
        assert loaded(services) == {"one"}


async def test_without_a_record_nothing_is_loaded_or_evicted(three: Path, each_mib: int) -> None:
    full = replace(config(each_mib), audit=AuditConfig(reserve_mib=1 << 20))
    async with opened(three, full) as services:
        with pytest.raises(AuditUnavailable):
            await answered(services, "one")
        assert loaded(services) == set() and services.supervisor.budget.taken == 0


async def test_the_limits_of_a_key_hold_while_it_waits_and_it_is_looked_at_again(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "LOOK_AT_KEYS_S", 0)  # the load may take less
    async with opened(three, config()) as services:
        who = app(services)
        waiting = asyncio.create_task(answered(services, "one", who))
        await until(lambda: services.pool.model("one").waiting == 1)
        services.keys.revoke(who.principal.key_id)
        with pytest.raises(Unauthenticated):
            await waiting
        assert services.shares.inside("one") == 0


async def test_stopping_tells_everyone_who_waits(three: Path) -> None:
    async with opened(three, config()) as services:
        waiting = asyncio.create_task(answered(services, "one"))
        await until(lambda: services.pool.model("one").activity == "loading")
        await services.pool.close()
        with pytest.raises(Unavailable) as caught:
            await waiting
        assert caught.value.code == "shutting_down"
        with pytest.raises(Unavailable):
            await answered(services, "two")


async def test_deaths_are_remembered_when_a_model_is_loaded_again(three: Path) -> None:
    """Else a key that kills workers would be let in again by an eviction."""
    async with opened(three, config()) as services:
        await answered(services, "one")
        deaths = services.supervisor._served["one"].deaths
        await services.pool.unload(ACTOR, "one")
        await answered(services, "one")
        assert services.supervisor._served["one"].deaths is deaths


async def test_mixed_requests_under_a_budget_for_two_of_three_all_answer(
    three: Path, each_mib: int
) -> None:
    await mixed_load(three, each_mib, 30)


@pytest.mark.slow
async def test_five_hundred_mixed_requests_under_a_budget_for_two_of_three(
    three: Path, each_mib: int
) -> None:
    await mixed_load(three, each_mib, 500)


async def mixed_load(data: Path, each_mib: int, requests: int) -> None:
    async with opened(data, config(2 * each_mib)) as services:
        budget, most = services.supervisor.budget, 0
        seen, order, who = services.audit.size, iter(range(requests)), app(services)

        async def client() -> None:
            nonlocal most
            for number in order:
                name = NAMES[(number * 7 // 5) % 3]
                assert await answered(services, name, who)
                most = max(most, budget.taken)

        await asyncio.gather(*(client() for _ in range(6)))
        assert most <= budget.total == 2 * each_mib << 20
        found = happened(services, seen)
        assert found.count(("evict", "one")) + found.count(("evict", "two")) > 0
        outcomes = entries(services, "outcome", seen)
        assert len(outcomes) == requests and {e["status"] for e in outcomes} == {"ok"}


def test_nothing_but_the_pool_starts_or_ends_a_worker() -> None:
    """The one door: who calls the supervisor past it makes no room and leaves no reason."""
    calls = re.compile(r"supervisor\.(begin|start|started|stop|reserve|release)\(")
    product = Path(appliance.__file__).parent
    found = {
        path.relative_to(product).parts[0]
        for path in product.rglob("*.py")
        if calls.search(path.read_text())
    }
    assert found == {"pool"}
