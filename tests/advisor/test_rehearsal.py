"""A rehearsal: few requests find nothing, many find a doubled answer, and no change is no alarm."""

import pytest

from appliance.advisor.rehearsal import RUNS, rehearse
from appliance.datasets.items import Item
from appliance.errors import DatasetRefused

ANSWERS = ("hydraulics",) * 5 + ("engine",) * 3 + ("cab", "electrical")


def items(words: str, count: int = 300) -> list[Item]:
    return [
        Item(
            id=f"{words}{n}", group=f"g{n}", expected=ANSWERS[n % 10],
            input={"text": f"{words}{n % 40} {words}{n % 7} order"},
        )
        for n in range(count)
    ]  # fmt: skip


def test_the_share_that_is_found_grows_with_the_requests() -> None:
    few, many = rehearse(items("part"), sizes=(21, 1_000))
    assert few.answer in ("cab", "electrical") and few.other is None
    assert few.doubled < RUNS / 2 and many.doubled >= 0.95 * RUNS
    assert few.same <= 1 and many.same <= 1  # the control: nothing changed


def test_another_split_is_found_where_its_words_are_others() -> None:
    (found,) = rehearse(items("part"), items("nieuw"), sizes=(50,))
    assert found.other is not None and found.other >= 0.95 * RUNS
    (same,) = rehearse(items("part"), items("part"), sizes=(50,))
    assert same.other is not None and same.other <= 1


def test_one_answer_cannot_be_doubled() -> None:
    with pytest.raises(DatasetRefused) as refused:
        rehearse([item for item in items("part") if item.expected == "cab"])
    assert refused.value.code == "split_invalid"
