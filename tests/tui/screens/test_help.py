"""Help under Pilot."""

import pytest

from tests.tui.scripted import Script, model, status, terminal


async def test_help_lists_the_live_bindings_of_the_screen() -> None:
    async with terminal(Script(status(models=[model("pump")])), size=(80, 60)) as opened:
        shown = await opened.press("2", "question_mark")
        for words in ("KEY", "Load", "Filter", "Quit", "Models", "needs a person"):
            assert words in shown, words
    async with terminal(Script(status(role="viewer", models=[model("pump")]))) as opened:
        assert " Load" not in await opened.press("2", "question_mark")


@pytest.mark.parametrize("key", ["escape", "q", "question_mark"])
async def test_keys_that_go_back(key: str) -> None:
    async with terminal(Script()) as opened:
        await opened.press("question_mark")
        shown = await opened.press(key)
        assert opened.app.is_running
        assert "WHAT IT DOES" not in shown and "MODELS" in shown
