"""Tasks under Pilot."""

import pytest

from appliance.errors import Unavailable
from tests.tui.scripted import Script, Told, model, status, terminal
from tests.tui.staging import give_tasks


def script(**changes: object) -> Script:
    made = Script(status(models=[model("pump", "approved")], **changes))
    give_tasks(made)
    return made


@pytest.mark.parametrize("size", [(80, 24), (130, 50)])
async def test_each_task_has_its_form_its_model_and_its_approvals(size: tuple[int, int]) -> None:
    async with terminal(script(), size=size) as opened:
        await opened.press("7")
        await opened.refresh()
        shown = await opened.refresh()
        for words in ("3 tasks", "1 approved", "> excavator-system", "+ approved", "labels"):
            assert words in shown, (words, shown)
        assert "smollm2-135m" in shown and "exact match" in shown
        assert "pump" not in shown  # a model is no task
        if size[0] > 100:
            assert "A. Weber" in shown and "548 items of dev" in shown
            assert "0.691 (0.641 to 0.737)" in shown and "+ live" in shown
        await opened.press("down", "down")
        shown = await opened.wait("task_model_changed")
        assert "! suspended" in shown


async def test_only_what_the_task_allows_is_offered_and_nothing_to_a_viewer() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("7", "a", "l", "y", "a", "a", "escape")
        await opened.refresh()
        assert made.calls == []
        await opened.press("a", "s", *"drift", "enter")
        await opened.wait("excavator-system is suspended")
        assert made.calls == [("suspend", "excavator-system", "drift")]
    viewer = script(role="viewer")
    async with terminal(viewer) as opened:
        await opened.press("7")
        assert "Suspend excavator" not in await opened.press("a", "s", *"drift", "enter")
        assert viewer.calls == []


async def test_a_task_is_approved_by_the_command() -> None:
    made = script()
    told = Told(model_approve={"state": "approved"})
    async with terminal(made, commands=told) as opened:
        await opened.press("7", "down")
        await opened.refresh()
        await opened.press("a", "a")
        shown = await opened.wait("Approve order-fields")
        assert "3b9c55e0aa17d264" in shown
        await opened.press(*"anna", "enter", *"k", "enter", *"good", "enter")
        await opened.wait("anna approved order-fields")
    assert told.ran[-1][:3] == ("model", "approve", "order-fields")


async def test_details_are_asked_for_once_for_each_state() -> None:
    asked: list[str] = []

    class Counting(Script):
        def model(self, model_id: str):  # type: ignore[no-untyped-def]
            asked.append(model_id)
            return super().model(model_id)

    made = Counting(status())
    give_tasks(made)
    async with terminal(made) as opened:
        await opened.press("7")
        for _ in range(4):
            await opened.refresh()
        assert asked.count("triage") == 1 and asked.count("excavator-system") >= 4


async def test_the_filter_an_empty_list_and_a_refusal() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("7")
        await opened.refresh()
        await opened.press("slash")
        shown = await opened.type("order-f")
        assert "order-fields" in shown and "triage" not in shown and "1 shown" in shown
        await opened.press("escape")

        def refuse(model_id: str) -> None:
            raise Unavailable("insufficient_memory", "Not now.")

        made.model = refuse  # type: ignore[assignment, method-assign]
        assert "insufficient_memory" in await opened.refresh()
        made.found = status()
        assert "No tasks." in await opened.refresh()
