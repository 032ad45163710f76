"""A line to type in."""

from textual import events
from textual.app import App, ComposeResult

from tui.widgets.entry import EntryLine


async def test_what_is_pasted_is_text() -> None:
    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield EntryLine(name="line")

    app = Host()
    async with app.run_test() as pilot:
        line = app.query_one(EntryLine)
        line.focus()
        line.post_message(events.Paste("a\x1b]0;owned\x07\u202eb"))
        await pilot.pause()
        assert line.value == "a]0;ownedb"
        assert not line.cursor_blink
