"""Drift on the admin socket."""

import json

import numpy as np
import pytest

from appliance.advisor import watch
from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.wire.admin.advice import ADVISE, AdviceWanted
from appliance.wire.admin.drift import DRIFT, DRIFT_REPORT, DRIFT_RESTART, Restart
from appliance.wire.admin.models import STATUS
from tests.advisor.test_options import RESULT
from tests.advisor.test_task_facts import write
from tests.advisor.weeks import watched


def test_an_alarm_with_its_price_its_page_and_a_new_beginning(
    services: Services, client: AdminClient
) -> None:
    *_, found = watched(np.random.default_rng(41), 18, "words", 16)
    watch.keep(services.data / watch.DIRECTORY, found)
    write(services.data / DIRECTORY, 7, json.dumps(RESULT))
    answers = {"data": {"hour": 45, "relabel": 300}}
    client.call(ADVISE, AdviceWanted.of(task="orders", answers=answers))
    shown = client.call(DRIFT, task="orders")
    assert shown.document.state == "alarm" and "5 %" in shown.promise and shown.blind
    assert any("cost 450.00 EUR" in each for each in shown.advice)  # 300 x 2 / 60 x 45
    assert "<svg" in client.call(DRIFT_REPORT, task="orders").html
    assert any(each.startswith("Task orders: Drift.") for each in client.call(STATUS).alarms)
    again = client.call(DRIFT_RESTART, Restart.of(reason="measured on new items"), task="orders")
    assert again.document.state == "learning"
    assert not any("Drift" in each for each in client.call(STATUS).alarms)
    entries = services.reader.search(Query(kind="admin", limit=100)).entries
    (body,) = [dict(e.body) for e in entries if e.body["action"] == "drift_restart"]
    assert (body["task"], body["reason"]) == ("orders", "measured on new items")


def test_what_was_not_looked_at_is_refused_and_nothing_is_recorded(
    services: Services, client: AdminClient
) -> None:
    before = services.reader.size
    for call in (
        lambda: client.call(DRIFT, task="orders"),
        lambda: client.call(DRIFT_REPORT, task="orders"),
        lambda: client.call(DRIFT_RESTART, Restart.of(reason="x"), task="orders"),
        lambda: client.call(DRIFT, task="../x"),
    ):
        with pytest.raises(ApplianceError) as caught:
            call()
        assert caught.value.code == "drift_missing"
    assert services.reader.size == before
