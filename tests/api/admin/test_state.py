"""Routes of the state; what they show of differences is in tests/governance."""

import pytest

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin.state import STATE, STATE_SETTLE, Settle


def test_a_state_that_agrees_has_nothing_to_settle(client: AdminClient) -> None:
    shown = client.call(STATE)
    assert shown.agrees and shown.differences == [] and shown.entries > 0
    with pytest.raises(ApplianceError) as caught:
        client.call(STATE_SETTLE, Settle(reason="why"))
    assert caught.value.code == "state_agrees"
