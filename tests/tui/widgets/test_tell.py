"""Something that a person must see."""

from textual.app import App

from tests.tui.scripted import text_of
from tui.text import alarm
from tui.widgets.tell import Tell


async def test_it_stays_until_a_key_says_that_it_was_read() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        app.push_screen(Tell([alarm("[b]shown\x1b once"), "x"], title="SECRET"))
        await pilot.pause()
        assert "! [b]shown\\x1b once" in text_of(app)
        await pilot.press("x", "space")
        assert len(app.screen_stack) == 2
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_what_is_shown_once_does_not_close_on_the_keys_that_end_a_form() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        app.push_screen(Tell(["sk-once"], title="NEW SECRET", saved=True))
        await pilot.pause()
        await pilot.press("enter", "enter", "escape", "q", "s", "ctrl+y")
        assert "sk-once" in text_of(app)
        await pilot.press("S")
        assert len(app.screen_stack) == 1
