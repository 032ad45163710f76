"""A part of a screen that says something."""

from textual.app import App, ComposeResult

from tui.text import cell
from tui.widgets.part import Part


def shown(part: Part) -> tuple[bool, object]:
    return part.display, part.visual


async def test_it_takes_room_only_while_it_says_something_new() -> None:
    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield Part("said", "TITLE")

    app = Host()
    async with app.run_test() as pilot:
        part = app.query_one("#said", Part)
        assert shown(part)[0] is False and part.has_class("section")
        part.say(cell("one"))
        await pilot.pause()
        before = part.visual
        part.say(cell("one"))
        assert shown(part) == (True, before)  # nothing is sent for what did not change
        part.say(cell("two"))
        assert shown(part)[1] is not before
        part.say(cell(""))
        assert shown(part)[0] is False
