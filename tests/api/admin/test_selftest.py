"""`POST /admin/selftest` over the socket; see tests/serving/test_selftest.py for what it does."""

from appliance.client import AdminClient
from appliance.wire.admin.selftest import SelfTestWanted


def test_a_lab_without_models_is_sound(client: AdminClient) -> None:
    found = client.selftest(SelfTestWanted(release="1.0"))
    assert found.ok and found.problems == []
    assert found.token is None and found.entry is not None
    assert client.entry(found.entry).body["release"] == "1.0"
