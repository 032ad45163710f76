"""What an import would do, over the admin socket."""

from appliance.app import Services
from appliance.client import AdminClient
from appliance.wire.admin.plan import PlanRequest
from tests.api.admin.lab import LabData, Reports


def test_a_plan_stores_and_records_nothing(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    before, reports = services.audit.size, Reports()
    path = lab.artifact("pump")
    found = client.plan(PlanRequest(path=str(path)), reports)
    assert found.ok and found.fits and found.code is None
    assert (found.id, found.approvals) == ("pump", 2) and found.budget_mib > 0
    (path / "LICENSE").write_text("changed")
    refused = client.plan(PlanRequest(path=str(path), id="x"), reports)
    assert (refused.ok, refused.code, refused.id) == (False, "file_changed", "x")
    assert refused.hint and refused.message
    assert services.lifecycle.records() == [] and services.audit.size == before
