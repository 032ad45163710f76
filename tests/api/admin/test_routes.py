"""Routes of routes; what commands do with them is in tests/cli/test_route.py."""

import json
import shutil
from pathlib import Path

import pytest

from appliance.api.admin import routes
from appliance.app import open_services
from appliance.errors import ApplianceError
from appliance.tasks.loaded import load
from appliance.wire.admin import routes as wire
from appliance.wire.admin.models import STATUS
from appliance.wire.admin.routes import RoutePlanWanted
from tests.api.admin.lab import client_of
from tests.routing.world import DATA_ID, LARGE_ID, ROUTE_ID, SMALL_ID, copied
from tests.smol import SMALL
from tests.tasks.example import FIELDS, SCHEMA

pytestmark = pytest.mark.xdist_group("routes")


def test_what_a_person_says_of_fields_is_json_that_the_schema_accepts() -> None:
    """Numbers count as right within what the task allows."""
    toml = FIELDS + "\n[compare.hours]\nabsolute = 0.1\n"
    files = {"task.toml": toml.encode(), "schema.json": json.dumps(SCHEMA).encode()}
    loaded = load(lambda name, most: files[name][:most], "1" * 64)
    right = {
        "part": None, "side": "left", "hours": 1.5, "count": 2, "urgent": True, "note": "",
    }  # fmt: skip
    said = routes._said(loaded, json.dumps(right))
    assert json.loads(said) == right
    for hours, same in ((1.5, True), (1.55, True), (1.7, False)):
        assert routes._same(loaded, said, json.dumps({**right, "hours": hours})) is same
    assert not routes._same(loaded, said, "no JSON")
    for wrong in ("", "left", "[]", json.dumps({**right, "side": "up"}), "[" * 5000):
        with pytest.raises(ApplianceError) as caught:
            routes._said(loaded, wrong)
        assert caught.value.code == "item_unknown"


def test_terms_and_standing_are_those_of_the_store(route_data: Path, tmp_path: Path) -> None:
    data = copied(route_data, tmp_path)
    with open_services(data, config=SMALL) as services, client_of(services) as client:
        plan = client.call(wire.ROUTE_PLAN, RoutePlanWanted.of(route=ROUTE_ID, dataset=DATA_ID))
        assert (plan.small, plan.larger, plan.split) == (SMALL_ID, LARGE_ID, "certify")
        assert (plan.error_micros, plan.delta_micros, plan.looks_left) == (100_000, 50_000, 4)
        (shown,) = client.call(wire.ROUTES).routes
        assert shown == client.call(wire.ROUTE, route=ROUTE_ID)
        assert (shown.certified, shown.why) == (False, "route_not_certified")
        assert [stage.name for stage in shown.stages] == ["small", "large"]
        with pytest.raises(ApplianceError) as caught:
            client.call(wire.ROUTE_SUSPEND, wire.Suspend.of(reason="none"), route=ROUTE_ID)
        assert caught.value.code == "route_not_certified"
        for action, code in (
            (lambda: client.call(wire.ROUTE, route=SMALL_ID), "artifact_kind"),
            (lambda: client.call(wire.ROUTE, route="nothing"), "unknown_model_id"),
            (
                lambda: client.call(
                    wire.ROUTE_PLAN, RoutePlanWanted.of(route=ROUTE_ID, dataset=SMALL_ID)
                ),
                "dataset_not_sealed",
            ),
        ):
            with pytest.raises(ApplianceError) as caught:
                action()
            assert caught.value.code == code
        actions = [entry.body.get("action") for entry in services.reader.tail(50)]
        assert "route_suspended" not in actions


def test_a_route_whose_files_are_not_here_says_so_like_a_model(
    route_data: Path, tmp_path: Path
) -> None:
    data = copied(route_data, tmp_path)
    with open_services(data, config=SMALL) as services, client_of(services) as client:
        assert client.call(wire.ROUTE, route=ROUTE_ID).state == "approved"  # the control
        assert ROUTE_ID in [card.id for card in services.routes.cards()]
        shutil.rmtree(data / "models" / ROUTE_ID)
        shown = client.call(wire.ROUTE, route=ROUTE_ID)
        assert (shown.state, shown.certified, shown.why) == ("missing", False, "model_missing")
        assert ROUTE_ID not in [card.id for card in services.routes.cards()]
        (told,) = [i for i in client.call(STATUS).incidents if i.code == "model_missing"]
        assert told.subject == ROUTE_ID and "files of route" in told.message
