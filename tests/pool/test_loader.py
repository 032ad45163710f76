"""Loading and unloading one model, with the record of each edge."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.config import EngineConfig
from appliance.errors import StateRefused, Unavailable
from tests.registry.test_lifecycle import (
    ACTOR,
    code_of,
    edges,
    revoke_publisher,
    steps,
    tiny,
)
from tests.smol import APPROVERS, ID, SMALL, approve, quiet, until
from tests.trust import forge


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as opened:
        yield opened


@pytest.fixture
def smol(smol_data: Path, tmp_path: Path) -> Iterator[Services]:
    shutil.copytree(smol_data, tmp_path / "copy")
    with open_services(tmp_path / "copy", config=SMALL) as opened:
        yield opened


def meanwhile(
    services: Services, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]
) -> None:
    """Have something happen after the next artifact was sealed and before it is served."""
    seal = services.store.seal

    def sealed_then(*arguments: Any, **named: Any) -> Any:
        model = seal(*arguments, **named)
        happens()
        return model

    monkeypatch.setattr(services.store, "seal", sealed_then)


async def test_loading_what_is_not_approved_is_refused_and_recorded(services: Services) -> None:
    lifecycle = services.lifecycle
    lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", APPROVERS[0])
    assert await code_of(lambda: services.pool.load(ACTOR, "tiny")) == "not_approved"
    last = edges(services, "tiny")[-1]
    assert (last["event"], last["code"]) == ("load_refused", "not_approved")
    assert await code_of(lambda: services.pool.load(ACTOR, "nothing")) == "unknown_model_id"
    assert await code_of(lambda: services.pool.unload(ACTOR, "tiny")) == "wrong_state"
    assert not lifecycle.is_loaded("tiny")


async def test_a_model_that_changed_on_disk_after_approval_is_not_loaded(
    services: Services,
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    (stored,) = (services.data / "models" / "tiny").glob("*.gguf")
    stored.chmod(0o600)
    flipped = bytearray(stored.read_bytes())
    flipped[-1] ^= 1
    stored.write_bytes(flipped)
    code = await code_of(lambda: services.pool.load(ACTOR, "tiny"))
    assert code == "file_changed"
    assert edges(services, "tiny")[-1]["code"] == code
    assert not services.lifecycle.is_loaded("tiny")


async def test_a_model_that_the_engine_cannot_load_stays_approved(services: Services) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    edges(services, "tiny")  # the reader's connection is opened by its first use
    before = forge.open_descriptors()
    assert await code_of(lambda: services.pool.load(ACTOR, "tiny")) == "model_load_failed"
    assert [e["state"] for e in edges(services, "tiny")][-2:] == ["staged", "approved"]
    assert services.lifecycle.record("tiny").state == "approved"
    assert not services.lifecycle.is_loaded("tiny")
    await until(lambda: forge.open_descriptors() == before)  # the worker's go with its process


async def test_loading_serving_unloading(smol: Services) -> None:
    services, lifecycle = smol, smol.lifecycle
    before = len(steps(smol, ID))
    assert (await services.pool.load(ACTOR, ID)).state == "serving"
    assert [r.state for r in lifecycle.records()] == ["serving"]
    assert await code_of(lambda: services.pool.load(ACTOR, ID)) == "wrong_state"
    assert (await services.pool.unload(ACTOR, ID)).state == "approved"
    assert steps(smol, ID)[before:] == [
        ("state", "approved", "staged"),
        ("state", "staged", "serving"),
        ("load_refused", "approved", "approved"),
        ("unload", "serving", "approved"),
    ]


async def test_loading_tells_its_phases_and_ends_when_nobody_reads(smol: Services) -> None:
    seen: list[tuple[str, int, int]] = []
    await smol.pool.load(ACTOR, ID, lambda *step: seen.append(step))
    await smol.pool.unload(ACTOR, ID)
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == ["verifying", "sealing", "loading"]
    sealing = [(done, total) for phase, done, total in seen if phase == "sealing"]
    assert sealing == sorted(sealing) and sealing[-1][0] == sealing[-1][1] > 90_000_000
    loading = [(done, total) for phase, done, total in seen if phase == "loading"]
    assert loading == sorted(loading) and loading[0][0] == 0
    assert loading[-1][0] == loading[-1][1] == sealing[-1][1] and len(loading) > 5

    before = steps(smol, ID)

    def gone(phase: str, _done: int, _total: int) -> None:
        if phase == "loading":
            raise Unavailable("interrupted", "The caller went away.")

    with pytest.raises(Unavailable):
        await smol.pool.load(ACTOR, ID, gone)
    assert not smol.lifecycle.is_loaded(ID)
    assert steps(smol, ID) == before

    def gone_later(phase: str, done: int, _total: int) -> None:
        if phase == "loading" and done:
            raise Unavailable("interrupted", "The caller went away.")

    await smol.pool.load(ACTOR, ID, gone_later)  # the engine has begun: it goes on
    await smol.pool.unload(ACTOR, ID)


async def test_a_model_that_does_not_fit_is_refused_with_the_numbers(smol_data: Path) -> None:
    tight = replace(SMALL, engine=EngineConfig(threads=1, memory_mib=200))
    with open_services(smol_data, config=tight) as services:
        with pytest.raises(StateRefused) as caught:
            await services.pool.load(ACTOR, ID)
        assert caught.value.code == "insufficient_memory" and "200 MiB" in caught.value.message
        assert edges(services, ID)[-1]["code"] == "insufficient_memory"


async def test_autoload_loads_what_it_can_and_tells_the_rest(smol: Services) -> None:
    smol.lifecycle.import_model(ACTOR, tiny(smol), None, quiet)
    approve(smol, "tiny", *APPROVERS)
    (problem,) = await smol.pool.autoload()
    assert problem.startswith("tiny: ")
    assert smol.lifecycle.is_loaded(ID) and not smol.lifecycle.is_loaded("tiny")
    assert steps(smol, ID)[-1] == ("state", "staged", "serving")
    await smol.supervisor.close()


async def test_a_policy_that_changes_while_a_model_is_sealed_counts(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    meanwhile(services, monkeypatch, lambda: revoke_publisher(services))
    assert await code_of(lambda: services.pool.load(ACTOR, "tiny")) == "key_revoked"
    assert services.lifecycle.record("tiny").state == "revoked"
    assert services.supervisor.status() == [] and services.supervisor.budget.taken == 0


async def test_a_key_that_was_revoked_after_approval_ends_the_model_at_load(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    revoke_publisher(services)
    assert await code_of(lambda: services.pool.load(ACTOR, "tiny")) == "key_revoked"
    record = services.lifecycle.record("tiny")
    assert (record.state, record.code) == ("revoked", "key_revoked")
    assert edges(services, "tiny")[-1]["code"] == "key_revoked"


async def test_what_the_memory_cannot_seal_is_refused_before_it_is_copied(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    monkeypatch.setattr("appliance.workers.supervisor.available_memory", lambda: 100)
    seen: list[object] = []
    action = lambda: services.pool.load(ACTOR, "tiny", lambda *step: seen.append(step))  # noqa: E731
    assert await code_of(action) == "insufficient_memory"
    assert seen == []
