"""The advisor on the admin socket: with what was measured, recorded, and kept."""

import json

import pytest

from appliance.advisor import shelf
from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.jobs.kind import digest
from appliance.wire.admin.advice import AdviceWanted
from tests.advisor.test_gathering import answer, write
from tests.advisor.test_measured import RESULT

ANSWERS = {"domain": {"quality": 0.7}, "costs": {"machine": 2400}}


def test_advice_rests_on_what_was_measured_and_is_recorded_and_kept(
    services: Services, client: AdminClient
) -> None:
    write(services.data / DIRECTORY, 7, json.dumps(RESULT))
    answer(services, "orders", 500_000)
    found = client.advise(AdviceWanted.of(task="orders", answers=ANSWERS))
    assert found.document["verdict"] == "baseline" and "<svg" in found.html
    assert found.document["options"][0]["cost_month"]["p50"] == 50.0
    assert client.advice("orders") == found
    assert client.all_advice().advice == [found]
    entries = services.reader.search(Query(kind="admin", limit=100)).entries
    (body,) = [dict(e.body) for e in entries if e.body["action"] == "advice"]
    assert (body["task"], body["verdict"]) == ("orders", "baseline")
    assert body["result_sha256"] == digest(found.document)  # as the client got it


def test_without_a_task_the_answers_alone_decide(client: AdminClient) -> None:
    found = client.advise(AdviceWanted.of(answers={}))
    assert found.task == "any" and found.document["verdict"] == "not_enough_data"


def test_answers_that_cannot_be_meant_change_nothing(
    services: Services, client: AdminClient
) -> None:
    before = services.reader.size
    with pytest.raises(ApplianceError) as caught:
        client.advise(AdviceWanted.of(answers={"weather": {}}))
    assert caught.value.code == "answers_invalid"
    assert services.reader.size == before
    assert not (services.data / shelf.DIRECTORY).exists()
    with pytest.raises(ApplianceError) as caught:
        client.advice("orders")
    assert caught.value.code == "advice_missing"
