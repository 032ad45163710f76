"""A menu of one key."""

from textual.app import App

from tests.tui.scripted import text_of
from tui.widgets.menu import Menu, MenuLine, lettered


async def test_a_letter_or_enter_takes_a_line_and_what_cannot_be_taken_says_why() -> None:
    app: App[None] = App()
    taken: list[str] = []
    options = [MenuLine("l", "load", "Load", why_not="it is loaded"), MenuLine("j", "jump", "Jump")]
    async with app.run_test() as pilot:
        app.push_screen(Menu("ACTIONS", options, taken.append))
        await pilot.press("enter")
        assert "Load: it is loaded" in text_of(app) and taken == []
        await pilot.press("down", "enter")
        assert taken == ["jump"] and len(app.screen_stack) == 1
        app.push_screen(Menu("ACTIONS", options, taken.append))
        await pilot.press("escape")
        assert taken == ["jump"] and len(app.screen_stack) == 1


def test_each_line_gets_a_letter_of_its_own() -> None:
    made = lettered([("STATE", "0"), ("STEP", "1"), ("S", "2"), ("N", "3")])
    assert [one.key for one in made] == ["s", "t", "3", "n"]
