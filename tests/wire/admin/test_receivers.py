"""The table of receivers."""

from appliance.wire.admin.receivers import RECEIVER_TABLE, LogReceiver

LIVE = LogReceiver(
    name="siem", to="tls://siem.example:6514", next=9, behind=0, oldest=None, problem="",
    since="2026-11-29T10:00:00Z", repeats=0,
)  # fmt: skip


def test_a_receiver_that_takes_nothing_is_down() -> None:
    state = RECEIVER_TABLE["STATE"].of
    assert state(LIVE) == "live"
    assert state(LIVE.model_copy(update={"problem": "refused"})) == "down"
