"""Adapters beside their base: loaded, recorded, refused, lost, in the parts of the product."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.config import ModelConfig, parse_config
from appliance.errors import Refused, UsageError
from appliance.facts import AdapterFacts
from appliance.trust.artifacts.store import load_policy
from appliance.types import Caller, Principal
from tests.answers import collect
from tests.lora import add_adapter
from tests.several import ask
from tests.smol import APPROVERS, ID, SMALL, approve, make_data, until

FR, DE = f"{ID}:fr", f"{ID}:de"
SETTINGS = {**SMALL.models, DE: ModelConfig(autoload=False)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Path:
    made = make_data(tmp_path_factory.mktemp("adapters"), shallow_path)
    with open_services(made, config=SMALL) as services:
        for seed, name in enumerate(("fr", "de")):
            add_adapter(services, name, seed)
    return made


@pytest.fixture
def opened(data: Path) -> Iterator[Services]:
    with open_services(data, config=replace(SMALL, models=SETTINGS)) as services:
        yield services


@pytest.fixture
async def loaded(opened: Services) -> AsyncIterator[Services]:
    await opened.pool.load("uid:0", ID)
    yield opened
    await opened.supervisor.close()


def edges(services: Services, model: str) -> list[tuple[str, str]]:
    found = services.reader.search(Query(kind="model", model=model, limit=1000)).entries
    return [(str(e.body["event"]), str(e.body["state"])) for e in found]


def state(services: Services, model: str) -> str:
    return services.lifecycle.record(model).state


def sealed_files() -> int:
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this very listing
            found += "memfd:model" in str(entry.readlink())
    return found


async def code_of(action: object) -> str:
    with pytest.raises(Refused) as caught:
        await action  # type: ignore[misc] # an awaitable
    return caught.value.code


async def test_approved_adapters_follow_their_base_unless_configured_otherwise(
    loaded: Services,
) -> None:
    assert (state(loaded, FR), state(loaded, DE)) == ("serving", "approved")
    assert edges(loaded, FR)[-2:] == [("state", "staged"), ("state", "serving")]
    cards = {c.id: c for c in loaded.supervisor.cards()}
    assert set(cards) == {ID, FR} and cards[FR].parent == ID
    await loaded.pool.load("uid:0", DE)
    assert state(loaded, DE) == "serving"
    assert await code_of(loaded.pool.load("uid:0", DE)) == "wrong_state"
    assert edges(loaded, DE)[-1] == ("load_refused", "approved")


async def test_an_adapter_is_waited_for_while_its_base_is_loaded(opened: Services) -> None:
    """From the moment at which the base has a worker, too, and its adapters are not there yet."""
    _, secret = opened.keys.create("app")
    who = Caller(opened.keys.authenticate(secret), "r-1", "127.0.0.1", "/v1/completions")

    async def answer(model: str) -> str:
        text, _ = await collect(await opened.inference.start(who, ask(model)))
        return text

    try:
        first = asyncio.create_task(answer(ID))
        await until(lambda: opened.supervisor.is_loaded(ID))
        assert not opened.supervisor.is_loaded(FR)
        assert {card.id for card in opened.inference.cards(who.principal)} == {ID, FR}
        assert await answer(FR) and await first
    finally:
        await opened.pool.close()
        await opened.inference.drain(30)
        await opened.supervisor.close()


async def test_loading_an_adapter_many_times_at_once_loads_it_once(loaded: Services) -> None:
    sealed, seen = sealed_files(), len(edges(loaded, DE))
    tasks = [asyncio.create_task(loaded.pool.load("uid:0", DE)) for _ in range(20)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [found.code for found in results if isinstance(found, Refused)]
    assert refused == ["wrong_state"] * 19 and state(loaded, DE) == "serving"
    assert edges(loaded, DE)[seen:].count(("state", "serving")) == 1
    await loaded.pool.unload("uid:0", DE)
    assert sealed_files() == sealed  # the copies of those that came too late are gone, too


async def test_an_adapter_whose_base_ends_meanwhile_is_not_recorded_as_served(
    loaded: Services,
) -> None:
    note = loaded.supervisor.adapters._note

    async def ends(served: Any, event: str, **fields: Any) -> None:
        await note(served, event, **fields)
        if event == "attach":
            await loaded.pool.unload("uid:0", ID)

    loaded.supervisor.adapters._note = ends
    assert await code_of(loaded.pool.load("uid:0", DE)) == "wrong_state"
    assert edges(loaded, DE)[-2:] == [("unload", "approved"), ("load_refused", "approved")]
    assert loaded.supervisor.budget.taken == 0


async def test_an_adapter_leaves_with_its_base_and_both_are_recorded(loaded: Services) -> None:
    await loaded.pool.unload("uid:0", ID)
    assert state(loaded, FR) == "approved" and edges(loaded, FR)[-1] == ("unload", "approved")
    assert await code_of(loaded.pool.load("uid:0", FR)) == "wrong_state"
    with pytest.raises(Refused):
        loaded.supervisor.adapters.base(FR)


async def test_its_memory_counts_for_the_base_and_may_not_fit(loaded: Services) -> None:
    needs = dict(loaded.supervisor.budget)[ID]
    await loaded.pool.unload("uid:0", FR)
    without = dict(loaded.supervisor.budget)[ID]
    record = loaded.store.inventory.record_of(FR, AdapterFacts)
    assert record is not None
    size = record.facts.file_bytes
    # This small model has its peak while it is loaded: of an adapter the sealed copy is there then.
    assert needs - without == pytest.approx(size * 1.08, abs=2)
    loaded.supervisor.budget.total = without + size
    assert await code_of(loaded.pool.load("uid:0", FR)) == "insufficient_memory"
    assert dict(loaded.supervisor.budget)[ID] == without and state(loaded, FR) == "approved"
    assert edges(loaded, FR)[-1] == ("load_refused", "approved")


async def test_a_revoked_adapter_does_not_come_back_with_the_worker(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")  # it stays revoked
    with open_services(copy, config=SMALL) as services:
        await services.pool.load("uid:0", ID)
        adapter = services.supervisor.adapters.find(FR)
        assert adapter is not None and services.supervisor.adapters.find(DE) is not None
        policy = load_policy(copy / "trust")
        revoked = replace(policy.revoked, digests=frozenset({adapter.digest}))
        denied = replace(policy, revoked=revoked)
        permission = cast(Any, services.lifecycle.recheck).__self__
        monkeypatch.setattr(permission, "policy", lambda: denied)
        (before,) = services.supervisor.status()
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: services.supervisor.status()[0].restarts == 1)
        assert services.supervisor.status()[0].adapters == [DE]
        assert state(services, FR) == "approved"  # the sweep ends it for good
        sweep = services.sweep
        monkeypatch.setattr(sweep, "policy", lambda: denied)
        assert FR in [record.id for record in await sweep.run()]
        assert state(services, FR) == "revoked"
        await services.supervisor.close()


@pytest.mark.parametrize("what", ["the publisher's key", "the adapter"])
async def test_what_a_newer_policy_revokes_ends_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A key that signed base and adapter ends both; the adapter's digest leaves the base alone."""
    shutil.copytree(data, tmp_path / "data")
    with open_services(tmp_path / "data", config=replace(SMALL, models=SETTINGS)) as services:
        await services.pool.load("uid:0", ID)
        policy = load_policy(services.data / "trust")
        digest = services.store.inventory.record(FR).digest
        revoked = (
            replace(policy.revoked, digests=frozenset({str(digest)}))
            if what == "the adapter"
            else replace(policy.revoked, keys=policy.roles["publisher"].keys)
        )
        denied = replace(policy, revoked=revoked)
        monkeypatch.setattr(services.lifecycle, "_policy", lambda: denied)
        monkeypatch.setattr(services.sweep, "policy", lambda: denied)
        ended = {record.id for record in await services.sweep.ask()}
        served = {model.id for model in services.supervisor.served()}
        if what == "the adapter":
            assert (ended, served) == ({FR}, {ID})
        else:
            assert (ended, served) == ({ID, FR, DE}, set())
        assert {state(services, model_id) for model_id in ended} == {"revoked"}
        assert edges(services, FR)[-1] == ("state", "revoked")
        await services.supervisor.close()
    shutil.rmtree(tmp_path / "data")


def test_a_key_must_name_an_adapter() -> None:
    principal = Principal("k", "app", frozenset({FR}))
    assert principal.may_use(FR) and not principal.may_use(ID) and not principal.may_use(DE)


def test_an_id_of_an_adapter_has_one_setting() -> None:

    parsed = parse_config('[models."a:b"]\nautoload = false')
    assert not parsed.model("a:b").autoload
    with pytest.raises(UsageError) as caught:
        parse_config('[models."a:b"]\nslots = 2')
    assert caught.value.code == "config_invalid"


@pytest.mark.parametrize("when", ["while it is sealed", "while it is attached"])
async def test_an_adapter_that_is_put_away_on_its_way_is_not_served(
    loaded: Services, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    loop = asyncio.get_running_loop()
    seal, attach = loaded.store.seal_adapter, loaded.supervisor.adapters.attach

    def sealed_then(*arguments: Any) -> Any:
        adapter = seal(*arguments)
        suspending = loaded.pool.suspend("uid:0", DE, "x")
        asyncio.run_coroutine_threadsafe(suspending, loop).result(60)
        return adapter

    async def attached_then(adapter: Any) -> None:
        await attach(adapter)
        monkeypatch.setattr(loaded.supervisor.adapters, "find", lambda _: None)  # not known yet
        await loaded.pool.suspend("uid:0", DE, "x")
        monkeypatch.undo()

    if when == "while it is sealed":
        monkeypatch.setattr(loaded.store, "seal_adapter", sealed_then)
    else:
        monkeypatch.setattr(loaded.supervisor.adapters, "attach", attached_then)
    assert await code_of(loaded.pool.load("uid:0", DE)) == "wrong_state"
    assert state(loaded, DE) == "suspended"
    assert [adapter.id for adapter in loaded.supervisor.adapters] == [FR]
    monkeypatch.undo()
    approve(loaded, DE, *APPROVERS)
    assert state(loaded, DE) == "approved"
