"""The palette under Pilot."""

import pytest

from tests.tui.scripted import Script, model, status, terminal


@pytest.mark.parametrize("opener", ["colon", "ctrl+p"])
async def test_a_command_is_found_by_its_words_and_done(opener: str) -> None:
    async with terminal(Script()) as opened:
        await opened.press(opener)
        shown = await opened.type("req")
        assert "> Requests" in shown and "Quit" not in shown
        await opened.press("enter")
        assert "[3 Requests]" in opened.text


async def test_changes_are_on_offer_only_to_those_who_may() -> None:
    for role, offered in (("admin", True), ("viewer", False)):
        script = Script(status(role=role, models=[model("pump")]))
        async with terminal(script) as opened:
            await opened.press("2")
            await opened.refresh()
            await opened.press("colon")
            assert ("Suspend" in await opened.type("susp")) is offered
            if offered:
                assert "Suspend pump" in await opened.press("enter")


async def test_escape_does_nothing() -> None:
    async with terminal(Script()) as opened:
        await opened.press("colon", "down", "escape")
        assert "[1 Overview]" in opened.text and len(opened.app.screen_stack) == 1
