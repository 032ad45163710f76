"""Help under Pilot."""

import pytest

from tests.tui.scripted import Script, terminal


async def test_help_lists_the_live_bindings_and_goes_back() -> None:
    async with terminal(Script().fetch) as opened:
        shown = await opened.press("question_mark")
        for words in ("KEY", "Refresh", "Quit", "Help"):
            assert words in shown
        assert opened.app.screen.id != "_default" and len(opened.app.screen_stack) == 3


@pytest.mark.parametrize("key", ["escape", "q", "question_mark"])
async def test_keys_that_go_back(key: str) -> None:
    async with terminal(Script().fetch) as opened:
        await opened.press("question_mark")
        shown = await opened.press(key)
        assert opened.app.is_running
        assert "WHAT IT DOES" not in shown and "MODELS" in shown
