"""Screens of one thing whole, under Pilot."""

import pytest

from tests.tui.scripted import Script, evaluation, terminal
from tui.screens.full_view import WholeScreen


@pytest.mark.parametrize("key", ["escape", "enter"])
async def test_it_scrolls_uses_the_room_and_ends(key: str) -> None:
    async with terminal(Script(jobs_found=[evaluation(7)]), size=(80, 14)) as opened:
        await opened.press("8")
        await opened.refresh()
        await opened.refresh()
        shown = await opened.press("enter")
        assert "EVALUATION" in shown and "cd" * 20 not in shown
        assert "Back" in shown.splitlines()[-1]
        assert isinstance(opened.app.screen, WholeScreen)
        await opened.press("end")
        await opened.wait("cd" * 20)
        await opened.press("home")
        await opened.pilot.resize_terminal(120, 45)
        shown = await opened.wait("cd" * 32)
        assert "EVALUATION" in shown and "0.641 to 0.737" in shown
        await opened.press(key)
        assert not isinstance(opened.app.screen, WholeScreen)
