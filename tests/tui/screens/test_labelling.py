"""Labelling under Pilot: blind, one key for a label, and the differences settled together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.errors import DatasetRefused
from appliance.wire.admin.labels import LabelDifference, LabelDifferences, LabelNext, LabelSet
from tests.tui.scripted import Script, Terminal, queue, terminal

LABELS = ["hydraulics", "engine", "electrical"]


def item(number: int) -> LabelNext:
    text = f"hose {number} leaks"
    return LabelNext(
        rater="anna",
        item=f"w{number}",
        input={"text": text},
        labels=LABELS,
        done=number - 1,
        total=2,
    )


@asynccontextmanager
async def labelling(
    script: Script, key: str = "l", size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Terminal]:
    async with terminal(script, size=size) as opened:
        await opened.press("t")
        await opened.refresh()
        await opened.press("a", key)
        yield opened


def given(item: str, label: str, *, together: bool = False) -> tuple[object, ...]:
    wanted = LabelSet.of(item=item, label=label, together=together)
    return ("label", "orders", wanted)


async def test_a_digit_and_enter_label_an_item_and_the_next_one_comes() -> None:
    script = Script(queues=[queue("orders")], to_label=[item(1), item(2)])
    async with labelling(script) as opened:
        shown = await opened.wait("hose 1 leaks")
        for words in ("anna", "0 of 2 done", "> ", "1  hydraulics", "3  electrical"):
            assert words in shown, (words, shown)
        assert "ben" not in shown
        await opened.press("3", "enter")
        await opened.wait("hose 2 leaks")
        await opened.press("enter")
        await opened.wait("You have labelled all that is yours.")
        assert script.calls == [given("w1", "electrical"), given("w2", "hydraulics")]


async def test_the_item_before_can_be_labelled_again() -> None:
    script = Script(queues=[queue("orders")], to_label=[item(1), item(2)])
    async with labelling(script) as opened:
        await opened.wait("hose 1 leaks")
        await opened.press("enter")
        await opened.wait("hose 2 leaks")
        assert "hose 1 leaks" in await opened.press("left_square_bracket")
        await opened.press("2", "enter")
        await opened.wait("hose 2 leaks")
        assert script.calls == [given("w1", "hydraulics"), given("w1", "engine")]


async def test_differences_show_both_labels_and_are_settled_together() -> None:
    pair = LabelDifference(item="w1", input={"text": "hose 1 leaks"}, said=["engine", "hydraulics"])
    differ = LabelDifferences(raters=["anna", "ben"], labels=LABELS, differences=[pair])
    finished = queue("orders", finished=True, unsettled=1, kappa=0.5, agreement=0.7)
    script = Script(queues=[finished], differences=differ)
    async with labelling(script, "d") as opened:
        shown = await opened.wait("anna: engine  ben: hydraulics")
        assert "hose 1 leaks" in shown and "1 left" in shown
        await opened.press("1", "enter")
        await opened.wait("No differences are left.")
        assert script.calls == [given("w1", "hydraulics", together=True)]


async def test_a_refusal_is_told_and_the_item_stays() -> None:
    refused = DatasetRefused("label_settled", "The label of 'w1' stands.")
    script = Script(queues=[queue("orders")], to_label=[item(1)], refused={"label": refused})
    async with labelling(script) as opened:
        await opened.wait("hose 1 leaks")
        await opened.press("enter")
        shown = await opened.wait("label_settled: The label of 'w1' stands.")
        assert "hose 1 leaks" in shown
        await opened.press("escape")
        assert "> orders" in opened.text


async def test_a_long_text_leaves_the_labels_their_room() -> None:
    long = item(1).model_copy(update={"input": {"text": "word " * 3_000, "site": "north"}})
    script = Script(queues=[queue("orders")], to_label=[long])
    async with labelling(script, size=(60, 20)) as opened:
        shown = await opened.wait("hydraulics")
        assert "electrical" in shown and "word word" in shown
