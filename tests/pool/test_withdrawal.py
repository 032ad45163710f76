"""Models that are suspended, retired and revoked, with the record of each edge."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.registry.states import actions
from appliance.trust.artifacts.records import ModelState
from appliance.trust.artifacts.store import load_policy
from tests.pool.test_loader import meanwhile
from tests.registry.test_lifecycle import (
    ACTOR,
    code_of,
    edges,
    sign_approval,
    steps,
    tiny,
)
from tests.smol import APPROVERS, ID, SMALL, approve, quiet
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


async def test_suspending_and_retiring_are_recorded_first_too(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    change, seen = services.store.inventory.set_state, []

    def watched(model_id: str, state: str, **rest: Any) -> Any:
        seen.append((edges(services, model_id)[-1]["state"], state))
        return change(model_id, state, **rest)

    monkeypatch.setattr(services.store.inventory, "set_state", watched)
    suspended = await services.pool.suspend(ACTOR, "tiny", "odd answers")
    assert (suspended.state, suspended.message) == ("suspended", "odd answers")
    assert (await services.pool.retire(ACTOR, "tiny")).state == "retired"
    assert seen == [("suspended", "suspended"), ("retired", "retired")]
    assert edges(services, "tiny")[-2]["reason"] == "odd answers"
    with pytest.raises(StateRefused) as caught:
        await services.pool.suspend(ACTOR, "tiny", "again")
    assert caught.value.code == "wrong_state"


async def test_suspending_a_serving_model_ends_its_worker_and_keeps_it_out(
    smol: Services,
) -> None:
    await smol.pool.load(ACTOR, ID)
    (status,) = smol.supervisor.status()
    suspended = await smol.pool.suspend(ACTOR, ID, "odd answers")
    assert suspended.state == "suspended"
    assert not Path(f"/proc/{status.pid}").exists()
    assert steps(smol, ID)[-1] == ("state", "serving", "suspended")
    assert await code_of(lambda: smol.pool.load(ACTOR, ID)) == "wrong_state"
    assert await smol.pool.autoload() == []


async def test_a_suspension_makes_all_approvals_void(services: Services) -> None:
    """Old envelopes do not count again; the same people decide anew, and then it is approved."""
    lifecycle = services.lifecycle
    lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    policy = load_policy(services.data / "trust")
    assert len(services.store.approvals("tiny", policy)) == 2
    old = sign_approval(services, "tiny", APPROVERS[0])
    await services.pool.suspend(ACTOR, "tiny", "odd answers")
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
    services.store.inventory.set_state("tiny", state)
    revoked = await services.pool.revoke(ACTOR, "tiny", "the publisher's key was stolen")
    assert (revoked.state, revoked.message) == ("revoked", "the publisher's key was stolen")
    last = edges(services, "tiny")[-1]
    assert (last["before"], last["state"], last["reason"]) == (state, "revoked", revoked.message)
    for action in (services.pool.load(ACTOR, "tiny"), services.pool.revoke(ACTOR, "tiny", "again")):
        with pytest.raises(StateRefused):
            await action
    with pytest.raises(StateRefused):
        lifecycle.approve(ACTOR, "tiny", b"{}")


@pytest.mark.parametrize("change", ["suspend", "revoke", "suspend and approve anew"])
async def test_a_model_that_is_put_away_while_it_is_sealed_is_not_served(
    services: Services, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    loop, before = asyncio.get_running_loop(), forge.open_descriptors()

    def put_away() -> None:
        act = services.pool.revoke if change == "revoke" else services.pool.suspend
        asyncio.run_coroutine_threadsafe(act(ACTOR, "tiny", "x"), loop).result(60)
        if "anew" in change:
            approve(services, "tiny", *APPROVERS)

    meanwhile(services, monkeypatch, put_away)
    assert await code_of(lambda: services.pool.load(ACTOR, "tiny")) == "wrong_state"
    state = {"suspend": "suspended", "revoke": "revoked"}.get(change, "approved")
    assert services.lifecycle.record("tiny").state == state
    assert services.supervisor.status() == [] and services.supervisor.budget.taken == 0
    assert edges(services, "tiny")[-1]["event"] == "load_refused"
    assert forge.open_descriptors() <= before + 2  # what was sealed was given back


_STORED = [state for state in ModelState if state not in (ModelState.STAGED, ModelState.SERVING)]


@pytest.mark.parametrize("state", _STORED)
async def test_what_is_offered_in_a_state_is_what_the_server_allows(
    services: Services, state: ModelState
) -> None:
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    pool = services.pool
    tries: dict[str, Callable[[], Awaitable[object]]] = {
        "load": lambda: pool.load(ACTOR, "tiny"),
        "approve": lambda: pool.approve(ACTOR, "tiny", b"{}"),
        "suspend": lambda: pool.suspend(ACTOR, "tiny", "odd"),
        "retire": lambda: pool.retire(ACTOR, "tiny"),
        "revoke": lambda: pool.revoke(ACTOR, "tiny", "odd"),
    }
    refused = set()
    for action, work in tries.items():
        services.store.inventory.set_state("tiny", state)
        try:
            await work()
        except Refused as error:
            if f"tiny is {state}" in error.message:  # not for want of approvals
                refused.add(action)
    assert set(tries) - refused == set(actions(state)) & set(tries)


@pytest.mark.parametrize("state", ["retired", "revoked"])
async def test_what_a_check_found_brings_nothing_back_from_retired_or_revoked(
    services: Services, state: str
) -> None:
    """A person may have decided while the check read the files."""
    services.lifecycle.import_model(ACTOR, tiny(services), None, quiet)
    approve(services, "tiny", *APPROVERS)
    await getattr(services.pool, state[:-1])(ACTOR, "tiny", "enough")
    seen = len(edges(services, "tiny"))
    found = await services.pool.end(ACTOR, "tiny", "suspended", Refused("file_changed", "late"))
    assert (found.state, len(edges(services, "tiny"))) == (state, seen)
    assert services.lifecycle.record("tiny").state == state
