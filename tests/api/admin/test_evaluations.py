"""The page of an evaluation over the admin socket: only if there is one."""

import pytest

from appliance.api.admin import deps
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.evals.store import OutcomeFiles
from appliance.types import Role
from tests.evals.test_report import whole_page


def test_a_page_is_handed_out(services: Services, client: AdminClient) -> None:
    with pytest.raises(ApplianceError) as caught:
        client.evaluation_report(5)
    assert caught.value.code == "report_missing"
    OutcomeFiles(services.data / DIRECTORY / "5").write_report("<p>found</p>")
    assert client.evaluation_report(5).html == "<p>found</p>"


def test_a_viewer_sees_no_item_and_no_answer(
    services: Services, client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    OutcomeFiles(services.data / DIRECTORY / "5").write_report(whole_page())
    words = ("item-7", "the pump leaks", "the hose leaks", "Flips")
    shown = client.evaluation_report(5).html
    assert all(word in shown for word in words)  # the control: an operator works with them
    monkeypatch.setattr(deps, "resolve_role", lambda *_: Role.VIEWER)
    seen = client.evaluation_report(5).html
    assert not any(word in seen for word in words)
    assert seen.count("<section>") == shown.count("<section>") - 1
    assert seen.count("</section>") == seen.count("<section>") and "Speed and memory" in seen
