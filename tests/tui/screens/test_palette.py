"""The palette under Pilot."""

from tests.tui.scripted import Script, model, status, terminal


async def test_what_is_found_by_its_letters_is_done_or_the_reason_told() -> None:
    script = Script(status(models=[model("pump"), model("motor")]))
    async with terminal(script) as opened:
        for opener in ("colon", "ctrl+p"):
            await opened.press(opener)
            shown = await opened.type("rqst")
            assert "> Requests" in shown and "Quit" not in shown
            assert "[3 Requests]" in await opened.press("enter")
        await opened.press("2")
        await opened.refresh()
        await opened.press("colon", *"unload", "enter")
        assert "Unload: pump is approved" in opened.text  # nothing was done
        await opened.press("escape", "colon", *"susp")
        assert "Suspend pump" in await opened.press("enter")
        await opened.press("escape", "colon", *"motor", "enter")
        assert "> motor" in opened.text and "  pump" not in opened.text  # a row by its name
        await opened.press("escape", "1", "colon", "down", "escape")
        assert "[1 Overview]" in opened.text and len(opened.app.screen_stack) == 1


async def test_who_may_not_is_told_why() -> None:
    async with terminal(Script(status(role="viewer", models=[model("pump")]))) as opened:
        await opened.press("2")
        await opened.refresh()
        await opened.press("colon", *"susp")
        assert "it takes the role admin" in opened.text
        await opened.press("enter")
        assert len(opened.app.screen_stack) == 2
