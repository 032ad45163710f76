"""A secret that is shown once."""

from textual.app import App

from tests.tui.scripted import text_of
from tui.text import alarm
from tui.widgets.secret_notice import Tell


async def test_what_is_shown_once_does_not_close_on_the_keys_that_end_a_form() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        app.push_screen(Tell([alarm("[b]sk-once\x1b")], title="NEW SECRET", secret="sk-once"))
        await pilot.pause()
        await pilot.press("enter", "enter", "x", "space", "q", "s", "ctrl+y", "y")
        assert "! [b]sk-once\\x1b" in text_of(app)
        assert app.clipboard == "sk-once"
        await pilot.press("escape")
        assert len(app.screen_stack) == 1
