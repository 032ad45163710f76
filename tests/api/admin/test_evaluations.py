"""The page of an evaluation over the admin socket: only if there is one."""

import pytest

from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.evals.store import OutcomeFiles


def test_a_page_is_handed_out(services: Services, client: AdminClient) -> None:
    with pytest.raises(ApplianceError) as caught:
        client.evaluation_report(5)
    assert caught.value.code == "report_missing"
    OutcomeFiles(services.data / DIRECTORY / "5").write_report("<p>found</p>")
    assert client.evaluation_report(5).html == "<p>found</p>"
