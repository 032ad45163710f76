"""The one way to change something."""

from tests.tui.scripted import Script, model, status, terminal


async def test_actions_of_marked_rows_are_asked_for_once_and_made_one_after_the_other() -> None:
    models = [model(name, "serving", loaded=True) for name in ("a", "b", "c")]
    made = Script(status(models=models))
    async with terminal(made) as opened:
        await opened.press("2", "space", "space")
        shown = await opened.press("a")
        assert "ACTIONS on 2 rows" in shown and "one row at a time" in shown  # to revoke
        assert "Revoke" in await opened.press("x") and made.calls == []
        shown = await opened.press("u")
        assert "Unload: 2 rows" in shown and "Unload a" in shown and "Unload b" in shown
        await opened.press("y")
        await opened.wait("a is approved; b is approved")
        assert made.calls == [("unload", "a"), ("unload", "b")]
        assert ">*" not in await opened.press("escape") and "* a" not in opened.text


async def test_the_reason_stands_beside_what_is_not_possible() -> None:
    made = Script(status(models=[model("a", "retired")]))
    async with terminal(made) as opened:
        shown = await opened.press("2", "a")
        assert "a is retired" in shown
        assert "Load: a is retired" in await opened.press("l")
        await opened.press("escape", "y", "i")
        assert opened.app.clipboard == "a" and "copied: a" in opened.text
