"""What an import would do, over the admin socket."""

from appliance.app import Services
from appliance.client import AdminClient
from appliance.wire.admin.plan import MODEL_PLAN, PlanRequest
from tests.api.admin.lab import LabData, Reports


def test_a_plan_stores_and_records_nothing(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    before, reports = services.audit.size, Reports()
    path = lab.artifact("pump")
    found = client.call(MODEL_PLAN, PlanRequest(path=str(path)), report=reports)
    assert found.ok and found.fits and found.code is None
    assert (found.id, found.approvals) == ("pump", 2) and found.budget_mib > 0
    (path / "LICENSE").write_text("changed")
    refused = client.call(MODEL_PLAN, PlanRequest(path=str(path), id="x"), report=reports)
    assert (refused.ok, refused.code, refused.id) == (False, "file_changed", "x")
    assert refused.hint and refused.message
    assert services.lifecycle.records() == [] and services.audit.size == before
