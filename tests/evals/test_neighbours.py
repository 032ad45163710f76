"""Nearest neighbours: learned from train in batches, of labels and of fields alike."""

import json
from array import array
from collections.abc import Sequence

import pytest

from appliance.datasets.items import Item
from appliance.evals import neighbours
from appliance.evals.neighbours import learn
from appliance.tasks.classifiers.document import read
from appliance.tasks.classifiers.neighbours import NeighbourModel

WORDS = ("pump", "hose", "turbo", "piston")


class Embedder:
    """Counts words; texts of more than 40 characters are too long."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def __call__(self, texts: Sequence[str]) -> list[bytes]:
        self.asked.append(len(texts))
        return [
            b"" if len(text) > 40 else array("f", [text.count(w) + 0.01 for w in WORDS]).tobytes()
            for text in texts
        ]


def train(count: int) -> list[Item]:
    labels = ("hydraulics", "hydraulics", "engine", "engine")
    return [
        Item(f"t{n}", f"g{n}", {"text": f"replace {WORDS[n % 4]} {n}"}, labels[n % 4])
        for n in range(count)
    ]


async def test_the_nearest_texts_decide() -> None:
    embed = Embedder()
    told: list[int] = []
    found = await learn(train(70), embed, "d" * 64, told.append)
    assert embed.asked == [32, 32, 6] and told == [0, 32, 64]
    answer = await found.answer("the turbo is loud")
    assert answer is not None and answer[0] == "engine" and answer[1] > 0.9
    assert found.size > 70 * 4 * 4


async def test_fields_have_their_own_neighbours() -> None:
    made = [Item(i.id, i.group, i.input, {"system": i.label, "fixed": 1}) for i in train(20)]
    answer = await (await learn(made, Embedder(), "d", lambda _: None)).answer("hose")
    assert answer is not None
    assert json.loads(answer[0]) == {"system": "hydraulics", "fixed": 1}


async def test_a_text_that_is_too_long_is_not_learned_and_not_answered() -> None:
    long = Item("long", "g", {"text": "turbo " * 20}, "engine")
    found = await learn([*train(8), long], Embedder(), "d", lambda _: None)
    assert await found.answer("turbo " * 20) is None
    assert await found.answer("turbo") is not None


async def test_of_a_large_split_the_smallest_digests_are_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "MOST", 10)
    embed = Embedder()
    await learn(train(50), embed, "d", lambda _: None)
    assert embed.asked == [10]


async def test_what_was_learned_can_be_a_tasks_classifier() -> None:
    found = await learn(
        train(12), Embedder(), "d" * 64, lambda _: None,
        lambda item: None if item.id == "t0" else item.text,
    )  # fmt: skip
    assert found.document is not None
    held = read(found.document)
    assert isinstance(held, NeighbourModel) and held.embedder == "d" * 64
    assert held.labels == ("engine", "hydraulics") and len(held.vectors) == 11
    made = [Item(i.id, i.group, i.input, {"system": i.label}) for i in train(8)]
    assert (await learn(made, Embedder(), "d", lambda _: None)).document is None
