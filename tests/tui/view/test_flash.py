"""A change in words."""

from dataclasses import replace

from appliance.errors import NotFound
from tui.change import Change, Running
from tui.view.flash import flash

CHANGE = Change("Load pump", "r", "e", lambda _answers, _report: None)


def test_nothing_progress_success_and_failure() -> None:
    assert not flash(None)
    assert flash(Running(CHANGE, "sealing", 40)).plain == "~ Load pump  sealing 40 %"
    assert flash(Running(CHANGE, "sealing")).plain == "~ Load pump  sealing"
    assert flash(Running(CHANGE, result="pump is serving", done=True)).plain == "+ pump is serving"
    assert flash(Running(CHANGE, done=True)).plain == "+ done: Load pump"
    undone = replace(CHANGE, undo=lambda: CHANGE)
    assert flash(Running(undone, done=True)).plain == "+ done: Load pump  a z undoes it"
    failed = flash(Running(CHANGE, error=NotFound("not_found", "gone\x1b[2J"), done=True)).plain
    assert failed.startswith("! not_found: gone\\x1b[2J")
    assert flash(Running(CHANGE, error=RuntimeError(), done=True)).plain == "! RuntimeError"
