"""Wrong items: the surest first, by cell, with the inputs that were measured, never sealed."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.items import Item
from appliance.errors import DatasetRefused, EvaluationRefused
from appliance.evals.mistakes import mistakes
from appliance.evals.outcomes import Outcome
from tests.evals.example import outcomes
from tests.evals.test_comparing import stored

ITEMS = tuple(
    Item(id=f"i{n:03}", group=f"g{n // 2}", input={"text": f"text {n}"}, expected="a")
    for n in range(120)
)


def read(_: str) -> tuple[str, Dataset]:
    return "d", Dataset(DatasetManifest("orders"), {"dev": ITEMS})


def changed(_: str) -> tuple[str, Dataset]:
    return "e", read("")[1]


def gone(_: str) -> tuple[str, Dataset]:
    raise DatasetRefused("dataset_unreadable", "It is gone.")


def some() -> list[Outcome]:
    made = outcomes(100)
    made[110] = replace(made[110], confidence_micros=990_000)
    made[111] = replace(made[111], answer=None, failure="timeout", confidence_micros=None)
    made[112] = made[112].without_texts()
    return made


def test_the_surest_mistake_is_first_and_has_its_input(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=some())
    found = mistakes(tmp_path, (1, ""), read)
    assert (found.candidate, found.split, found.items, found.wrong) == ("tuned", "dev", 120, 20)
    first, last = found.shown[0], found.shown[-1]
    assert (first.item, first.confidence, first.input) == ("i110", 0.99, "text 110")
    assert (last.item, last.answered, last.confidence) == ("i111", "(timeout)", None)
    told = [(each.expected, each.answered, each.items) for each in found.confused]
    assert told == [("a", "b", 18), ("a", "(timeout)", 1)]
    (erased,) = [each for each in found.shown if each.item == "i112"]
    assert (erased.answered, erased.input, erased.expected) == ("(erased)", "", "")


def test_a_cell_of_the_confusion_matrix(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=some())
    cell = mistakes(tmp_path, (1, "tuned"), read, "a", "(timeout)")
    assert (cell.kept, [each.item for each in cell.shown]) == (1, ["i111"])
    assert mistakes(tmp_path, (1, "tuned"), read, "b").kept == 0
    assert mistakes(tmp_path, (1, "linear"), read, answered="b").kept == 40


def test_inputs_are_those_that_were_measured_or_none(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=outcomes(100))
    other = mistakes(tmp_path, (1, ""), changed)
    assert "not what was measured" in other.unread and not any(m.input for m in other.shown)
    assert mistakes(tmp_path, (1, ""), gone).unread == "It is gone."


@pytest.mark.parametrize("split", ["certify", "test", "unlabelled", "", "None"])
def test_a_split_that_is_not_open_is_shown_to_nobody(tmp_path: Path, split: str) -> None:
    stored(tmp_path, 1, split=split, linear=outcomes(80), tuned=outcomes(100))
    with pytest.raises(EvaluationRefused) as refused:
        mistakes(tmp_path, (1, ""), read)
    assert refused.value.code == "dataset_sealed" and "i110" not in str(refused.value)
