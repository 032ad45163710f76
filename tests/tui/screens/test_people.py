"""The queue of people under Pilot."""

from tests.tui.scripted import Script, terminal
from tests.tui.staging import WAITING


async def test_an_item_is_answered_by_a_label_of_its_task() -> None:
    fields = WAITING[1].model_copy(update={"labels": [], "form": {"type": "object"}})
    made = Script(waiting=[WAITING[0], fields])
    async with terminal(made) as opened:
        await opened.press("p")
        assert "Permission" in await opened.wait("2 items")
        shown = await opened.press("enter", "down", "down")
        assert "Answer triage on licences" in shown and "apache" in shown
        await opened.press("enter")
        await opened.wait("w0 is answered")
        assert made.calls == [("answer", "w0", "apache")]
        await opened.refresh()
        await opened.press("enter", *"no json", "enter")
        assert "invalid_value" in await opened.wait("is no JSON")
        await opened.press("enter", *"{}", "enter")
        await opened.wait("w1 is answered")
        assert made.calls[-1] == ("answer", "w1", {})
        assert "No requests wait" in await opened.refresh()
