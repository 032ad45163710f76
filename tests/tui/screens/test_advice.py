"""Advice under Pilot."""

from pathlib import Path

from appliance.errors import Unavailable
from tests.tui.scripted import Script, advice, terminal


async def test_the_advice_is_shown_and_its_page_is_written(tmp_path: Path) -> None:
    script = Script(advised=[advice("notes", verdict="not_enough_data"), advice("orders")])
    target = tmp_path / "page.html"
    async with terminal(script, size=(120, 40)) as opened:
        await opened.press("v")
        shown = await opened.refresh()
        for words in ("2 advised", "not enough data", "Don't use a language model"):
            assert words in shown, (words, shown)
        await opened.press("down")
        shown = await opened.press("w")
        assert "GET /admin/advice/orders" in shown and "advice-orders.html" in shown
        await opened.press("ctrl+u")
        await opened.type(str(target))
        await opened.press("enter")
        await opened.wait("report of the advice on orders")
        assert target.read_text() == "<p>a</p>"


async def test_without_advice_it_says_how_to_get_some_and_a_refusal_is_shown() -> None:
    script = Script()
    async with terminal(script) as opened:
        await opened.press("v")
        assert "appliance advise TASK" in await opened.refresh()
        assert "Write the report" not in await opened.press("w")

        def refuse() -> None:
            raise Unavailable("insufficient_memory", "Not now.")

        script.all_advice = refuse  # type: ignore[assignment, method-assign]
        assert "insufficient_memory" in await opened.refresh()
