"""The one way to change something."""

from appliance.errors import StateRefused
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


async def test_the_last_change_is_taken_back_from_any_screen_after_the_same_question() -> None:
    models = [model(name, "serving", loaded=True) for name in ("a", "b")]
    made = Script(status(models=models))
    async with terminal(made, size=(110, 30)) as opened:
        assert "Undo" not in await opened.press("2", "a")
        await opened.press("escape", "space", "space", "a", "u", "y")
        await opened.wait("a z undoes it")
        await opened.press("v")  # a screen without actions of its own
        assert "Undo Unload: 2 rows" in await opened.press("a")
        shown = await opened.press("z")
        assert "Load a" in shown and "Load b" in shown and len(made.calls) == 2
        await opened.press("y")
        await opened.wait("b is serving")
        assert made.calls[2:] == [("load", "a"), ("load", "b")]
        made.refused = {"unload": StateRefused("wrong_state", "no")}
        assert "Unload: 2 rows" in await opened.press("a", "z")
        await opened.press("escape", "2", "a", "u", "y")
        await opened.wait("! wrong_state")  # what failed cannot be taken back
        assert "Undo" not in await opened.press("a")


async def test_what_cannot_be_undone_has_no_undo() -> None:
    made = Script(status(models=[model("a", "serving", loaded=True)]))
    async with terminal(made) as opened:
        await opened.press("2", "a", "s", "enter")
        await opened.wait("+ a is")
        assert "undoes" not in opened.text and "Undo" not in await opened.press("a")


async def test_the_reason_stands_beside_what_is_not_possible() -> None:
    made = Script(status(models=[model("a", "retired")]))
    async with terminal(made) as opened:
        shown = await opened.press("2", "a")
        assert "a is retired" in shown
        assert "Load: a is retired" in await opened.press("l")
        await opened.press("escape", "y", "i")
        assert opened.app.clipboard == "a" and "copied: a" in opened.text
