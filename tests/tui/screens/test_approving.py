"""One approval as a change."""

from pathlib import Path

from tests.tui.scripted import Script, Told, status
from tui.desk import Desk
from tui.link import Link, Snapshot
from tui.screens.approving import approval


def test_in_the_lab_the_key_of_the_person_is_at_hand_and_elsewhere_not() -> None:
    for profile, key in (("lab", "/d/keys/lab/approver-1.pem"), ("site", "")):
        desk = Desk(Script(), Told(), Path("/d"))
        desk.link = Link().succeeded(Snapshot(status(profile=profile)), 0)
        change = approval(desk, "pump", "ab" * 32, "approver-1")
        values = {blank.name: blank.value for blank in change.blanks}
        assert values == {"as": "approver-1", "key": key, "meaning": ""}
        assert "pump" in change.title and "ab" * 32 in str(change.explain)
        assert change.wrong({"as": "a", "key": "k"}) == "Meaning of your signature is needed."
