"""A model's life, with the record of each edge and what happens when it cannot be written."""

import asyncio
import base64
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.search import Query
from appliance.config import AuditConfig, EngineConfig
from appliance.errors import (
    AuditUnavailable,
    PolicyRefused,
    Refused,
    StateRefused,
    Unavailable,
)
from appliance.registry.lifecycle import Lifecycle
from appliance.trust import approval, dsse, ecdsa, signing, strict_json
from appliance.trust.policy import PAYLOAD_TYPE
from appliance.trust.store import load_policy
from tests.smol import APPROVERS, ID, SMALL, approve, key, make_data, quiet, sealed
from tests.trust import forge

ACTOR = "uid:4711"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A fresh lab without models."""
    initialise(tmp_path / "data", "lab")
    return tmp_path / "data"


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=SMALL) as opened:
        yield opened


def tiny(services: Services, name: str = "tiny", sign: bool = True) -> Path:
    """An artifact that passes every check but is too small to be computed."""
    path = services.data.parent / name
    forge.make_artifact(path)
    if sign:
        signing.sign_directory(path, key(services.data, "publisher"), quiet)
    return path


def sign_approval(services: Services, model_id: str, name: str) -> bytes:
    """An approval by this person, as it is right now."""
    return approval.sign(
        services.lifecycle.subject(model_id),
        name=name,
        meaning="fit for use",
        time_us=services.clock.wall_us(),
        private_key=key(services.data, name),
    )


def revoke_publisher(services: Services) -> None:
    """Put a policy in force that revokes the publisher's key."""
    path = services.data / "trust" / "policy.json"
    document = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    document["revoked"]["keys"] = document["roles"]["publisher"]["keys"]
    root = ecdsa.load_private(key(services.data, "root"))
    path.write_bytes(dsse.sign(strict_json.dump(document), PAYLOAD_TYPE, [root]))


def edges(services: Services, model_id: str) -> list[dict[str, Any]]:
    found = services.reader.search(Query(kind="model", model=model_id, limit=1000)).entries
    return [dict(e.body) for e in sorted(found, key=lambda e: e.seq)]


def steps(services: Services, model_id: str) -> list[tuple[Any, Any, Any]]:
    return [(e["event"], e["before"], e["state"]) for e in edges(services, model_id)]


def test_each_edge_is_recorded_with_who_and_what(services: Services) -> None:
    lifecycle = services.lifecycle
    imported = lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    assert imported.state == "verified"
    approve(services, "tiny", APPROVERS[0])
    assert lifecycle.record("tiny").state == "verified"
    approve(services, "tiny", APPROVERS[1])
    assert lifecycle.record("tiny").state == "approved"
    assert steps(services, "tiny") == [
        ("state", "media", "quarantined"),
        ("state", "quarantined", "vetted"),
        ("state", "vetted", "verified"),
        ("approval", "verified", "verified"),
        ("approval", "verified", "approved"),
    ]
    first, _vetted, verified, *approvals = edges(services, "tiny")
    uniform = {"actor", "model", "event", "before", "state", "digest", "policy", "reason", "code"}
    assert all(uniform <= e.keys() and e["policy"] == 1 for e in edges(services, "tiny"))
    assert first["actor"] == ACTOR
    assert verified["digest"] == imported.digest and verified["signer"]
    assert [a["approver"] for a in approvals] == list(APPROVERS)
    assert all(a["digest"] == imported.digest for a in approvals)


def test_the_edge_is_durable_before_the_state_changes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a state is set, the newest edge in the log already says so."""
    change, seen = services.store.set_state, []

    def watched(model_id: str, state: str, **rest: Any) -> Any:
        seen.append((edges(services, model_id)[-1]["state"], state))
        return change(model_id, state, **rest)

    monkeypatch.setattr(services.store, "set_state", watched)
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    assert [state for _, state in seen] == ["vetted", "verified", "verified", "approved"]
    assert all(recorded == state for recorded, state in seen)


async def test_suspending_and_retiring_are_recorded_first_too(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    change, seen = services.store.set_state, []

    def watched(model_id: str, state: str, **rest: Any) -> Any:
        seen.append((edges(services, model_id)[-1]["state"], state))
        return change(model_id, state, **rest)

    monkeypatch.setattr(services.store, "set_state", watched)
    suspended = await services.lifecycle.suspend(ACTOR, "tiny", "odd answers")
    assert (suspended.state, suspended.message) == ("suspended", "odd answers")
    assert (await services.lifecycle.retire(ACTOR, "tiny")).state == "retired"
    assert seen == [("suspended", "suspended"), ("retired", "retired")]
    assert edges(services, "tiny")[-2]["reason"] == "odd answers"
    with pytest.raises(StateRefused) as caught:
        await services.lifecycle.suspend(ACTOR, "tiny", "again")
    assert caught.value.code == "wrong_state"


async def test_without_a_record_nothing_changes(data: Path) -> None:
    with open_services(data, config=SMALL) as services:
        services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
        approve(services, "tiny", *APPROVERS)
        path = tiny(services, "second")
    full = replace(SMALL, audit=AuditConfig(reserve_mib=1 << 20))
    with open_services(data, config=full) as services:
        with pytest.raises(AuditUnavailable):
            await services.lifecycle.suspend(ACTOR, "tiny", "x")
        with pytest.raises(AuditUnavailable):
            await services.lifecycle.load(ACTOR, "tiny")
        with pytest.raises(AuditUnavailable):
            services.lifecycle.import_model(ACTOR, path, None, quiet)
        states = {r.id: r.state for r in services.lifecycle.records()}
        assert states.pop("tiny") == "approved"
        assert states in ({}, {"second": "quarantined"})


def test_an_approval_that_does_not_hold_is_recorded_and_changes_nothing(
    services: Services,
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", APPROVERS[0])
    for envelope in (b"{}", b"not json"):
        with pytest.raises(Refused) as caught:
            services.lifecycle.approve(ACTOR, "tiny", envelope)
        last = edges(services, "tiny")[-1]
        assert (last["event"], last["code"]) == ("approval_refused", caught.value.code)
    with pytest.raises(PolicyRefused) as twice:
        approve(services, "tiny", APPROVERS[0])
    assert twice.value.code == "approval_duplicate"
    assert services.lifecycle.record("tiny").state == "verified"


async def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        await action()
    return caught.value.code


async def test_loading_what_is_not_approved_is_refused_and_recorded(services: Services) -> None:
    lifecycle = services.lifecycle
    lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", APPROVERS[0])
    assert await code_of(lambda: lifecycle.load(ACTOR, "tiny")) == "not_approved"
    last = edges(services, "tiny")[-1]
    assert (last["event"], last["code"]) == ("load_refused", "not_approved")
    assert await code_of(lambda: lifecycle.load(ACTOR, "nothing")) == "unknown_model_id"
    assert await code_of(lambda: lifecycle.unload(ACTOR, "tiny")) == "wrong_state"
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
    code = await code_of(lambda: services.lifecycle.load(ACTOR, "tiny"))
    assert code == "file_changed"
    assert edges(services, "tiny")[-1]["code"] == code
    assert not services.lifecycle.is_loaded("tiny")


async def test_a_model_that_the_engine_cannot_load_stays_approved(services: Services) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    edges(services, "tiny")  # the reader's connection is opened by its first use
    before = forge.open_descriptors()
    assert await code_of(lambda: services.lifecycle.load(ACTOR, "tiny")) == "model_load_failed"
    assert [e["state"] for e in edges(services, "tiny")][-2:] == ["staged", "approved"]
    assert services.lifecycle.record("tiny").state == "approved"
    assert not services.lifecycle.is_loaded("tiny")
    assert forge.open_descriptors() == before


@pytest.fixture(scope="module")
def smol_data(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("lifecycle"), default_model_path)


@pytest.fixture
def smol(smol_data: Path, tmp_path: Path) -> Iterator[Services]:
    """Services over a copy of the data directory with the approved default model."""
    shutil.copytree(smol_data, tmp_path / "copy")
    with open_services(tmp_path / "copy", config=SMALL) as opened:
        yield opened


async def test_loading_serving_unloading(smol: Services) -> None:
    lifecycle = smol.lifecycle
    assert (await lifecycle.load(ACTOR, ID)).state == "serving"
    assert [r.state for r in lifecycle.records()] == ["serving"]
    assert await code_of(lambda: lifecycle.load(ACTOR, ID)) == "wrong_state"
    assert (await lifecycle.unload(ACTOR, ID)).state == "approved"
    assert [s for s in steps(smol, ID) if s[0] != "approval"][3:] == [
        ("state", "approved", "staged"),
        ("state", "staged", "serving"),
        ("load_refused", "approved", "approved"),
        ("unload", "serving", "approved"),
    ]


async def test_loading_tells_its_phases_and_ends_when_nobody_reads(smol: Services) -> None:
    seen: list[tuple[str, int, int]] = []
    await smol.lifecycle.load(ACTOR, ID, lambda *step: seen.append(step))
    await smol.lifecycle.unload(ACTOR, ID)
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
        await smol.lifecycle.load(ACTOR, ID, gone)
    assert not smol.lifecycle.is_loaded(ID)
    assert steps(smol, ID) == before

    def gone_later(phase: str, done: int, _total: int) -> None:
        if phase == "loading" and done:
            raise Unavailable("interrupted", "The caller went away.")

    await smol.lifecycle.load(ACTOR, ID, gone_later)  # the engine has begun: it goes on
    await smol.lifecycle.unload(ACTOR, ID)


async def test_suspending_a_serving_model_ends_its_worker_and_keeps_it_out(
    smol: Services,
) -> None:
    await smol.lifecycle.load(ACTOR, ID)
    (status,) = smol.supervisor.status()
    suspended = await smol.lifecycle.suspend(ACTOR, ID, "odd answers")
    assert suspended.state == "suspended"
    assert not Path(f"/proc/{status.pid}").exists()
    assert steps(smol, ID)[-1] == ("state", "serving", "suspended")
    assert await code_of(lambda: smol.lifecycle.load(ACTOR, ID)) == "wrong_state"
    assert await smol.residents.autoload() == []


async def test_a_model_that_does_not_fit_is_refused_with_the_numbers(smol_data: Path) -> None:
    tight = replace(SMALL, engine=EngineConfig(threads=1, memory_mib=200))
    with open_services(smol_data, config=tight) as services:
        with pytest.raises(StateRefused) as caught:
            await services.lifecycle.load(ACTOR, ID)
        assert caught.value.code == "insufficient_memory" and "200 MiB" in caught.value.message
        assert edges(services, ID)[-1]["code"] == "insufficient_memory"


async def test_autoload_loads_what_it_can_and_tells_the_rest(smol: Services) -> None:
    smol.lifecycle.import_model(ACTOR, tiny(smol), None, quiet)
    approve(smol, "tiny", *APPROVERS)
    (problem,) = await smol.residents.autoload()
    assert problem.startswith("tiny: ")
    assert smol.lifecycle.is_loaded(ID) and not smol.lifecycle.is_loaded("tiny")
    assert steps(smol, ID)[-1] == ("state", "staged", "serving")
    await smol.supervisor.close()


async def test_a_suspension_makes_all_approvals_void(services: Services) -> None:
    """Old envelopes do not count again; the same people decide anew, and then it is approved."""
    lifecycle = services.lifecycle
    lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    policy = load_policy(services.data / "trust")
    assert len(services.store.approvals("tiny", policy)) == 2
    old = sign_approval(services, "tiny", APPROVERS[0])
    await lifecycle.suspend(ACTOR, "tiny", "odd answers")
    assert services.store.approvals("tiny", policy) == []
    with pytest.raises(PolicyRefused) as caught:
        lifecycle.approve(ACTOR, "tiny", old)
    assert caught.value.code == "approval_void"
    assert lifecycle.record("tiny").state == "suspended"
    approve(services, "tiny", APPROVERS[0])
    assert lifecycle.record("tiny").state == "suspended"
    with pytest.raises(PolicyRefused) as caught:
        approve(services, "tiny", APPROVERS[0])
    assert caught.value.code == "approval_duplicate"
    approve(services, "tiny", APPROVERS[1])
    assert lifecycle.record("tiny").state == "approved"


@pytest.mark.parametrize("state", ["verified", "approved", "suspended", "refused", "retired"])
async def test_a_model_is_revoked_from_any_state_and_for_good(
    services: Services, state: str
) -> None:
    lifecycle = services.lifecycle
    lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    services.store.set_state("tiny", state)
    revoked = await lifecycle.revoke(ACTOR, "tiny", "the publisher's key was stolen")
    assert (revoked.state, revoked.message) == ("revoked", "the publisher's key was stolen")
    last = edges(services, "tiny")[-1]
    assert (last["before"], last["state"], last["reason"]) == (state, "revoked", revoked.message)
    for action in (lifecycle.load(ACTOR, "tiny"), lifecycle.revoke(ACTOR, "tiny", "again")):
        with pytest.raises(StateRefused):
            await action
    with pytest.raises(StateRefused):
        lifecycle.approve(ACTOR, "tiny", b"{}")


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


async def test_a_policy_that_changes_while_a_model_is_sealed_counts(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    meanwhile(services, monkeypatch, lambda: revoke_publisher(services))
    assert await code_of(lambda: services.lifecycle.load(ACTOR, "tiny")) == "key_revoked"
    assert services.lifecycle.record("tiny").state == "revoked"
    assert services.supervisor.status() == [] and services.supervisor.budget.taken == 0


@pytest.mark.parametrize("change", ["suspend", "revoke", "suspend and approve anew"])
async def test_a_model_that_is_put_away_while_it_is_sealed_is_not_served(
    services: Services, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    loop, before = asyncio.get_running_loop(), forge.open_descriptors()

    def put_away() -> None:
        act = services.lifecycle.revoke if change == "revoke" else services.lifecycle.suspend
        asyncio.run_coroutine_threadsafe(act(ACTOR, "tiny", "x"), loop).result(60)
        if "anew" in change:
            approve(services, "tiny", *APPROVERS)

    meanwhile(services, monkeypatch, put_away)
    assert await code_of(lambda: services.lifecycle.load(ACTOR, "tiny")) == "wrong_state"
    state = {"suspend": "suspended", "revoke": "revoked"}.get(change, "approved")
    assert services.lifecycle.record("tiny").state == state
    assert services.supervisor.status() == [] and services.supervisor.budget.taken == 0
    assert edges(services, "tiny")[-1]["event"] == "load_refused"
    assert forge.open_descriptors() <= before + 2  # what was sealed was given back


async def test_a_key_that_was_revoked_after_approval_ends_the_model_at_load(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    revoke_publisher(services)
    assert await code_of(lambda: services.lifecycle.load(ACTOR, "tiny")) == "key_revoked"
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
    action = lambda: services.lifecycle.load(ACTOR, "tiny", lambda *step: seen.append(step))  # noqa: E731
    assert await code_of(action) == "insufficient_memory"
    assert seen == []


def test_recheck_asks_the_policy_in_force(smol: Services) -> None:
    model = sealed(smol)
    smol.lifecycle.recheck(model)
    (smol.data / "trust" / "policy.json").write_text("{}")
    with pytest.raises(Refused):
        smol.lifecycle.recheck(model)
    model.close()


def test_a_restart_needs_the_approvals_too(smol: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sealed(smol)
    lifecycle: Lifecycle = smol.lifecycle
    monkeypatch.setattr(smol.store, "approvals", lambda model_id, policy: [])
    with pytest.raises(PolicyRefused) as caught:
        lifecycle.recheck(model)
    assert caught.value.code == "not_approved"
    model.close()
