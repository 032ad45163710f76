"""The label queues under Pilot."""

import pytest

from appliance.errors import Unavailable
from appliance.types import Role
from appliance.wire.admin.labels import LabelNext
from tests.tui.scripted import Script, queue, status, terminal

DONE = queue(
    "notes", done={"anna": 40, "ben": 40}, finished=True, agreement=0.85, kappa=0.79, unsettled=6
)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_queues_and_their_people(size: tuple[int, int]) -> None:
    async with terminal(Script(queues=[queue("orders"), DONE]), size=size) as opened:
        await opened.press("t")
        shown = await opened.refresh()
        for words in ("> orders", "~ waiting", "- done", "0.79", "anna 17, ben 3"):
            assert words in shown, (words, shown)
        assert "kappa" not in shown  # of the one under the cursor nothing is compared yet
        shown = await opened.press("down")
        assert "kappa 0.79, 85 % of the labels agree" in shown and "6 differences" in shown


async def test_differences_are_there_when_both_have_finished() -> None:
    script = Script(queues=[queue("orders"), DONE])
    async with terminal(script) as opened:
        await opened.press("7", "t")
        await opened.refresh()
        assert "Item before" not in await opened.press("a", "d")
        await opened.press("escape", "down")
        assert "Item before" in await opened.press("a", "d")
        await opened.press("escape", "up")
        assert "Item before" in await opened.press("enter")


async def test_a_viewer_labels_nothing() -> None:
    script = Script(status(role=Role.VIEWER), queues=[queue("orders")])
    async with terminal(script) as opened:
        await opened.press("t")
        await opened.refresh()
        assert "Item before" not in await opened.press("a", "l", "enter")


async def test_an_empty_list_and_a_refusal() -> None:
    script = Script(to_label=[LabelNext()])
    async with terminal(script) as opened:
        await opened.press("t")
        assert "No label queues." in await opened.refresh()
        assert "no row is under" in await opened.press("a", "l")
        await opened.press("escape")

        def refuse() -> None:
            raise Unavailable("insufficient_memory", "Not now.")

        script.label_queues = refuse  # type: ignore[assignment, method-assign]
        assert "insufficient_memory" in await opened.refresh()
