"""The changes that models and tasks have in common."""

import pytest

from tests.tui.scripted import DATA, Script, Told
from tui.desk import Desk
from tui.screens.lifecycle import lifecycle


@pytest.mark.parametrize(
    ("verb", "blanks", "lasting"),
    [
        ("load", [], False),
        ("unload", [], False),
        ("suspend", ["reason"], False),
        ("retire", ["reason", "name"], True),
        ("revoke", ["reason", "name"], True),
    ],
)
def test_what_cannot_be_undone_takes_the_name(verb: str, blanks: list[str], lasting: bool) -> None:
    change = lifecycle(Desk(Script(), Told(), DATA), "pump", verb)
    assert [blank.name for blank in change.blanks] == blanks and change.lasting is lasting
    assert change.request == f"POST /admin/models/pump/{verb}"
    assert "by you" in change.record


def test_it_is_made_once_with_its_reason() -> None:
    script = Script()
    change = lifecycle(Desk(script, Told(), DATA), "pump", "suspend")
    assert change.work({"reason": "drift"}, lambda *_: None) == "pump is suspended"
    assert script.calls == [("suspend", "pump", "drift")]
