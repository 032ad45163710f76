"""`POST /admin/selftest` over the socket; see tests/serving/test_selftest.py for what it does."""

from appliance.client import AdminClient
from appliance.wire.admin.models import AUDIT_ENTRY
from appliance.wire.admin.selftest import SELFTEST, SelfTestWanted


def test_a_lab_without_models_is_sound(client: AdminClient) -> None:
    found = client.call(SELFTEST, SelfTestWanted(release="1.0"))
    assert found.ok and found.problems == []
    assert found.token is None and found.entry is not None
    assert client.call(AUDIT_ENTRY, seq=found.entry).body["release"] == "1.0"
