"""Routes of routes; what commands do with them is in tests/cli/test_route.py."""

from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.errors import ApplianceError
from appliance.wire.admin.routes import PlanWanted
from tests.api.admin.lab import client_of
from tests.routing.world import DATA_ID, LARGE_ID, ROUTE_ID, SMALL_ID, make_lab
from tests.smol import SMALL


def test_terms_and_standing_are_those_of_the_store(tmp_path: Path) -> None:
    with open_services(make_lab(tmp_path), config=SMALL) as services, client_of(services) as client:
        plan = client.route_plan(PlanWanted.of(route=ROUTE_ID, dataset=DATA_ID))
        assert (plan.small, plan.larger, plan.split) == (SMALL_ID, LARGE_ID, "certify")
        assert (plan.error_micros, plan.delta_micros, plan.looks_left) == (100_000, 50_000, 4)
        (shown,) = client.routes().routes
        assert shown == client.route(ROUTE_ID)
        assert (shown.certified, shown.why) == (False, "route_not_certified")
        assert [stage.name for stage in shown.stages] == ["small", "large"]
        with pytest.raises(ApplianceError) as caught:
            client.suspend_route(ROUTE_ID, "none")
        assert caught.value.code == "route_not_certified"
        for action, code in (
            (lambda: client.route(SMALL_ID), "artifact_kind"),
            (lambda: client.route("nothing"), "unknown_model_id"),
            (
                lambda: client.route_plan(PlanWanted.of(route=ROUTE_ID, dataset=SMALL_ID)),
                "dataset_not_sealed",
            ),
        ):
            with pytest.raises(ApplianceError) as caught:
                action()
            assert caught.value.code == code
        actions = [entry.body.get("action") for entry in services.reader.tail(50)]
        assert "route_suspended" not in actions
