"""The log of a room: its entries are durable, its secrets differ by purpose."""

import pytest

from appliance.errors import AuditUnavailable
from appliance.governance.agreement import AgreementFound
from appliance.wiring.log import LogRoom


async def test_entries_are_durable_when_they_are_said_to_be(log: LogRoom) -> None:
    log.decided({"action": "by hand", "actor": "uid:0"})
    await log.record("admin", {"action": "in the loop", "actor": "uid:0"})
    newest = [log.reader.entry(log.reader.size - back).body for back in (2, 1)]
    assert [body["action"] for body in newest] == ["by hand", "in the loop"]


def test_secrets_are_the_same_for_one_purpose_alone(log: LogRoom) -> None:
    assert log.secret(b"one") == log.secret(b"one") != log.secret(b"two")
    assert log.kek() not in (log.secret(b"one"), log.secret(b"two"))


def test_a_log_that_ends_early_takes_no_new_work(log: LogRoom) -> None:
    log.audit.check()
    log.agreement.standing = AgreementFound("The log ends too early.")
    with pytest.raises(AuditUnavailable) as caught:
        log.audit.check()
    assert caught.value.code == "log_ends_early"
    log.agreement.standing = AgreementFound()
    log.audit.check()  # the control
