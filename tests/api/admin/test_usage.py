"""The route of usage: counted when it is asked for."""

import pytest

from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin.metering import USAGE
from tests.audit.logs import intent, outcome


def test_usage_is_counted_when_it_is_asked_for(client: AdminClient, services: Services) -> None:
    (asked,) = services.audit.append(intent("u", app="wiki")).result()
    services.audit.append(outcome(asked.seq, "u")).result()
    found = client.call(USAGE, per="month")
    assert [(one.name, one.requests) for one in found.rows] == [("wiki", 1)]
    assert (found.by, found.per) == ("app", "month") and found.known.endswith("Z")


@pytest.mark.parametrize("name", ["by", "per", "since"])
def test_a_query_that_is_not_known_is_refused(client: AdminClient, name: str) -> None:
    asked: dict[str, str | int | None] = {name: "yesterday"}
    with pytest.raises(ApplianceError) as caught:
        client.call(USAGE, report=print, **asked)
    assert caught.value.code == "invalid_value"
