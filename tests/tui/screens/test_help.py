"""Help under Pilot."""

import pytest

from tests.tui.scripted import Script, model, status, terminal


async def test_help_lists_what_the_screen_offers_and_every_place() -> None:
    async with terminal(Script(status(models=[model("pump")])), size=(80, 24)) as opened:
        shown = await opened.press("2", "question_mark")
        for words in ("HELP: Models", "a l", "Load", "Filter", "Quit", "x      Trust", "needs a p"):
            assert words in shown, words
    async with terminal(Script(status(role="viewer", models=[model("pump")]))) as opened:
        assert " Load" not in await opened.press("2", "question_mark")


@pytest.mark.parametrize("key", ["escape", "question_mark"])
async def test_keys_that_go_back(key: str) -> None:
    async with terminal(Script()) as opened:
        await opened.press("question_mark", "q")  # q ends the program, and no help
        shown = await opened.press(key)
        assert opened.app.is_running
        assert "HELP" not in shown and "MODELS" in shown
