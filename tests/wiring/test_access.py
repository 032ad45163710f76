"""Keys: their changes are in the log; where log and rows differ, a key is held back at once."""

from appliance.governance.agreement import AgreementFound
from appliance.governance.log_state import UnprovenRow
from appliance.wiring.access import AccessRoom
from appliance.wiring.log import LogRoom


def test_a_key_is_recorded_and_agrees_to_examples_or_not(log: LogRoom, access: AccessRoom) -> None:
    key, _ = access.keys.create("app", examples=True)
    assert log.reader.entry(log.reader.size - 1).body["key_id"] == key.id
    assert access.agreed(key.id) and not access.agreed("nobody")


def test_a_key_is_held_back_as_long_as_log_and_rows_differ(
    log: LogRoom, access: AccessRoom
) -> None:
    key, _ = access.keys.create("app")
    assert access.keys.is_live(key.id)
    log.agreement.standing = AgreementFound("", (UnprovenRow("api_keys", key.id, "unlogged"),))
    assert not access.keys.is_live(key.id)
    log.agreement.standing = AgreementFound()
    assert access.keys.is_live(key.id)
