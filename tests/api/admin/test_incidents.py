"""Routes of incidents; a life of one is in tests/cli/test_incident.py."""

import pytest

from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.incidents.rules import Alarm
from appliance.wire.admin.incidents import INCIDENT, INCIDENT_ACK, INCIDENTS, Acknowledge


def test_the_status_names_the_incident(client: AdminClient, services: Services) -> None:
    alarm = Alarm("disk_low", "critical", "d", "It is low.", "Free some.")
    services.incidents.look([alarm], 1_764_000_000_000_000)
    (one,) = client.call(INCIDENTS).incidents
    assert (one.code, one.subject, one.level, one.times, one.ended) == (
        "disk_low", "d", "critical", 1, None,
    )  # fmt: skip
    done = client.call(INCIDENT_ACK, Acknowledge(), number=one.id)
    assert done.acked_by and done.acked and client.call(INCIDENT, number=one.id) == done


def test_an_unknown_one(client: AdminClient) -> None:
    with pytest.raises(ApplianceError) as caught:
        client.call(INCIDENT, number=99)
    assert caught.value.code == "incident_unknown"
