"""Answers to open items, which another engine gives again or not."""

import json

from appliance.datasets.items import Item
from appliance.evals.outcomes import Outcome
from appliance.looks import replay

ITEMS = [Item(f"i{n}", f"g{n}", {"text": str(n)}, "a") for n in range(300)]


def outcome(item: Item, answer: str | None, failure: str = "") -> Outcome:
    return Outcome(item.id, item.group, "a", answer, 0, 5, failure=failure)


class Engine:
    """Answers with the item's id; some items with other words, for so many times."""

    def __init__(self, otherwise: dict[str, int] | None = None) -> None:
        self.otherwise, self.asked = otherwise or {}, 0

    async def ask(self, item: Item) -> Outcome:
        self.asked += 1
        left = self.otherwise.get(item.id, 0)
        self.otherwise[item.id] = left - 1
        return outcome(item, f"{item.id} otherwise" if left > 0 else item.id)

    async def digest(self, item: Item) -> str:
        return replay.digest(await self.ask(item))


def test_the_same_two_hundred_are_chosen_whatever_their_order() -> None:
    found = replay.chosen(ITEMS)
    assert len(found) == replay.ITEMS and found == replay.chosen(ITEMS[::-1])
    assert [item.id for item in found[:3]] != ["i0", "i1", "i2"]


def test_one_of_each_group_comes_first_and_more_where_a_bound_takes_them() -> None:
    """Items of one document do not bound a change: its groups do."""
    many = [
        Item(f"j{n}", f"g{n % 40}", {"text": "x"}, "a", stratum="ns"[n % 2]) for n in range(900)
    ]
    found = replay.chosen([*many, *ITEMS[40:]])
    assert replay.groups(found, {""}) == {"": 200}  # the control: by hash alone about 90
    assert len({item.group for item in found}) == len(found) == replay.ITEMS
    wanted = replay.chosen(many, {"": 40, "n": 20})
    assert replay.groups(wanted, {"", "n"}) == {"": 40, "n": 20} and len(wanted) == replay.ITEMS
    assert len(replay.chosen(ITEMS, {"": 250})) == 250
    assert len(replay.chosen(many * 2, {"": 41})) == replay.MOST_ITEMS


def test_a_failure_is_an_answer_too() -> None:
    one = ITEMS[0]
    assert replay.digest(outcome(one, None, "timeout")) != replay.digest(outcome(one, "timeout"))
    assert replay.digest(outcome(one, "a")) == replay.digest(outcome(ITEMS[1], "a"))


async def test_equal_answers_are_no_flips() -> None:
    before = await replay.answers(Engine().ask, ITEMS[:5])
    assert set(json.loads(before)) == {f"i{n}" for n in range(5)}
    items, told = {item.id: item for item in ITEMS[:5]}, list[int]()
    assert await replay.flips(Engine().digest, items, replay.read(before), told.append) == []
    assert told == [0, 1, 2, 3, 4]


async def test_what_differs_every_time_is_one() -> None:
    before = await replay.answers(Engine().ask, ITEMS[:5])
    items = {item.id: item for item in ITEMS[:4]}
    engine = Engine({"i1": 2, "i2": 3})  # i1 is right at the third time
    found = await replay.flips(engine.digest, items, replay.read(before), lambda done: None)
    assert found == ["i2", "i4"]  # i4 is not there any more
    assert engine.asked == 1 + 3 + 3 + 1
