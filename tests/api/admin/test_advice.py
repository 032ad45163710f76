"""The advisor on the admin socket: with what was measured, recorded, and kept."""

import json
from pathlib import Path

import pytest

from appliance.advisor import shelf
from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.jobs.kind import digest
from appliance.trust.artifacts.store import load_policy
from appliance.wire.admin.advice import ADVICE, ADVICE_LIST, ADVISE, AdviceWanted
from tests.advisor.test_options import RESULT
from tests.advisor.test_task_facts import answer, write
from tests.api.admin.lab import client_of
from tests.api.admin.test_gates import made, opened
from tests.evals.gates import pairs
from tests.evals.sealed import add_dataset, add_task
from tests.smol import SMALL

ANSWERS = {"domain": {"quality": 0.7}, "costs": {"machine": 2400}}


def test_advice_rests_on_what_was_measured_and_is_recorded_and_kept(
    services: Services, client: AdminClient
) -> None:
    write(services.data / DIRECTORY, 7, json.dumps(RESULT))
    answer(services, "orders", 500_000)
    found = client.call(ADVISE, AdviceWanted.of(task="orders", answers=ANSWERS))
    assert found.document.document["verdict"] == "baseline" and "<svg" in found.html
    assert found.document.document["options"][0]["cost_month"]["p50"] == 50.0
    assert client.call(ADVICE, task="orders") == found
    assert client.call(ADVICE_LIST).advice == [found]
    entries = services.reader.search(Query(kind="admin", limit=100)).entries
    (body,) = [dict(e.body) for e in entries if e.body["action"] == "advice"]
    assert (body["task"], body["verdict"]) == ("orders", "baseline")
    assert body["result_sha256"] == digest(found.document.document)  # as the client got it


def test_without_a_task_the_answers_alone_decide(client: AdminClient) -> None:
    found = client.call(ADVISE, AdviceWanted.of(answers={}))
    assert found.task == "any" and found.document.document["verdict"] == "not_enough_data"


def test_answers_that_cannot_be_meant_change_nothing(
    services: Services, client: AdminClient
) -> None:
    before = services.reader.size
    with pytest.raises(ApplianceError) as caught:
        client.call(ADVISE, AdviceWanted.of(answers={"weather": {}}))
    assert caught.value.code == "answers_invalid"
    assert services.reader.size == before
    assert not (services.data / shelf.DIRECTORY).exists()
    with pytest.raises(ApplianceError) as caught:
        client.call(ADVICE, task="orders")
    assert caught.value.code == "advice_missing"


def test_what_a_gate_found_on_sealed_groups_is_known(tmp_path: Path) -> None:
    """After a pass on 222 of them the advice was: with 0 of them no option is told from another."""
    with open_services(opened(tmp_path), config=SMALL) as services, client_of(services) as client:
        task = add_task(services, tmp_path / "orders")
        data = add_dataset(services, tmp_path / "set")
        wanted = AdviceWanted.of(task=task, answers={"domain": {"quality": 0.6}})
        before = client.call(ADVISE, wanted).document.document
        assert before["verdict"] == "not_enough_data" and "With 0 groups" in before["answer"]
        certificate = made(services, task, data, pairs(222, gained=20))
        services.store.evaluations.add(certificate, load_policy(services.data / "trust"))
        found = client.call(ADVISE, wanted)
    said = found.document.document
    (chosen,) = [o for o in said["options"] if o["name"] == said["verdict"]]
    assert chosen["state"] == "shown" and chosen["quality"] == 0.73
    assert "222 sealed groups" in found.html
