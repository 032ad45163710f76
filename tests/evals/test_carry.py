"""An engine that answers as before takes certificates over; one that does not suspends the task."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import ApplianceError, PolicyRefused
from appliance.evals import asking
from appliance.evals.outcomes import Outcome
from appliance.looks import replay
from appliance.server import serve
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.trust.statements import evaluation
from appliance.types import GenerationRequest
from appliance.wire.admin.models import STATUS
from tests.answers import collect
from tests.api.admin.lab import client_of
from tests.evals.orders import FITTED, write_task
from tests.evals.sealed import add_dataset, envelope, terms
from tests.smol import APPROVERS, SMALL, approve, caller, key, quiet
from tests.tasks.example import coefficients

OTHER = "llama-cpp-python 0.3.99"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Services]:
    initialise(tmp_path / "data", "lab", evaluated=True)
    with open_services(tmp_path / "data", config=SMALL) as services:
        add_dataset(services, tmp_path / "orders-data")
        path = write_task(tmp_path / "fitted", FITTED, classifier_json=coefficients("electrical"))
        signing.sign_directory(path, key(services.data, "publisher"), quiet)
        services.lifecycle.import_model("uid:0", path, None, quiet)
        signed = envelope(services, terms(services, "fitted", "orders-data"))
        assert (await job(services, "gate", specification=signed.decode()))["verdict"] == "pass"
        approve(services, "fitted", *APPROVERS)
        yield services


async def job(services: Services, kind: str, **params: str) -> dict[str, Any]:
    return (await (await services.jobs.start(kind, params, "uid:0")).outcome()).document


async def answer(services: Services, text: str) -> str:
    made, _ = services.keys.create(secrets.token_hex(4))
    request = GenerationRequest(model="fitted", messages=({"role": "user", "content": text},))
    return (await collect(await services.inference.start(caller(made.id), request)))[0]


def problem(services: Services) -> str:
    try:
        services.store.ask("fitted", load_policy(services.data / "trust"))
    except PolicyRefused as error:
        return error.code
    return ""


async def test_the_same_answers_carry_it_over_and_approvals_hold(lab: Services) -> None:
    before = lab.reader.size
    lab.store.evaluations.engine_of = lambda: OTHER
    assert problem(lab) == "evaluation_other_engine"
    with pytest.raises(ApplianceError) as caught:
        await answer(lab, "the pump is noisy")
    assert caught.value.code == "evaluation_other_engine"  # nothing is served meanwhile
    await lab.sweep.run()
    assert lab.store.inventory.record("fitted").state == "approved"  # nor suspended for it
    assert lab.store.of_other_engine(load_policy(lab.data / "trust")) == ["fitted"]
    result = await job(lab, "carry", task="fitted")
    assert (result["flips"], result["items"], result["engine"]) == ([], 12, OTHER)
    assert problem(lab) == "" and await answer(lab, "the pump is noisy") == "hydraulics"
    assert lab.store.of_other_engine(load_policy(lab.data / "trust")) == []
    entries = [lab.reader.entry(n).body for n in range(before, lab.reader.size)]
    (carried,) = [e for e in entries if e.get("action") == "evaluation_carried"]
    assert (carried["certificate"], carried["flips"]) == (result["certificate"], 0)
    assert not any(e.get("action") == "gate_look" for e in entries)


async def test_other_answers_suspend_the_task_with_the_items(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replay.digest

    def other(outcome: Outcome) -> str:
        return "00" * 32 if outcome.item == "dev003" else real(outcome)

    lab.store.evaluations.engine_of = lambda: OTHER
    monkeypatch.setattr(replay, "digest", other)
    result = await job(lab, "carry", task="fitted")
    assert (result["flips"], result["certificate"]) == (["dev003"], None)
    record = lab.store.inventory.record("fitted")
    assert record.state == "suspended" and "dev003" in record.message
    with client_of(lab) as client:
        assert any("fitted is suspended" in alarm for alarm in client.call(STATUS).alarms)


async def test_what_we_could_not_ask_differs_from_nothing(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*more: Any) -> asking.CandidateReply:
        return asking.CandidateReply(None, "worker_lost", 0.0)

    lab.store.evaluations.engine_of = lambda: OTHER
    with monkeypatch.context() as patched, pytest.raises(ApplianceError) as caught:
        patched.setattr(asking, "asked", lost)
        patched.setattr(asking, "_RETRY_S", 0.0)
        await job(lab, "carry", task="fitted")
    assert caught.value.code == "gate_interrupted" and "worker_lost" in caught.value.message
    assert lab.store.inventory.record("fitted").state == "approved"
    assert (await job(lab, "carry", task="fitted"))["flips"] == []


async def test_too_few_open_groups_carry_nothing_over(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 groups bound a change at 22.1 points, beyond the certificate's room."""
    monkeypatch.setattr(evaluation, "rooms", lambda wanted, found: {"": 220_000})
    lab.store.evaluations.engine_of = lambda: OTHER
    with pytest.raises(ApplianceError) as caught:
        await job(lab, "carry", task="fitted")
    assert caught.value.code == "evaluation_change_unbounded"
    assert (
        "12 groups" in caught.value.message and "22.1 points; 22.0 are left" in caught.value.message
    )
    assert lab.store.inventory.record("fitted").state == "approved" and problem(lab)


async def test_what_has_no_answers_is_not_carried_over(lab: Services) -> None:
    with pytest.raises(ApplianceError) as caught:
        await job(lab, "carry", task="orders-data")
    assert caught.value.code == "file_missing"
    with lab.store.evaluations._database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM replays")
    lab.store.evaluations.engine_of = lambda: OTHER
    with pytest.raises(ApplianceError) as caught:
        await job(lab, "carry", task="fitted")
    assert caught.value.code == "evaluation_no_replay"
    assert lab.store.inventory.record("fitted").state == "approved" and problem(lab)


async def test_a_server_that_starts_carries_over_by_itself(lab: Services) -> None:
    lab.store.evaluations.engine_of = lambda: OTHER
    await serve._carry(lab)
    live = lab.jobs.live((await lab.jobs.newest(1))[0].job.id)
    assert live is not None
    assert (live.job.kind, live.job.title, live.job.actor) == ("carry", "fitted", "appliance")
    await live.outcome()
    assert problem(lab) == ""
