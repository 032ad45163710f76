"""A list with a filter."""

from tests.tui.scripted import Script, model, status, terminal


async def test_all_words_must_fit_and_escape_shows_everything_again() -> None:
    script = Script(status(models=[model("pump-a", "verified"), model("pump-b", "approved")]))
    async with terminal(script) as opened:
        await opened.press("2", "slash")
        shown = await opened.type("PUMP appr")
        assert "> pump-b" in shown and "pump-a " not in shown
        await opened.press("enter")
        assert "pump-a" not in opened.text  # it stays narrowed
        assert "pump-a" in await opened.press("escape")


async def test_digits_and_q_are_text_while_one_types() -> None:
    async with terminal(Script()) as opened:
        await opened.press("2", "slash", "3", "q", "colon")
        assert "[2 Models]" in opened.text and opened.app.is_running
