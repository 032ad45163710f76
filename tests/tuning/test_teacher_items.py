"""Taken answers of a teacher, and their split."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.datasets import directory, sealing
from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.items import Item
from appliance.datasets.sealing import Seal
from appliance.errors import DatasetRefused
from appliance.evals.outcomes import Outcome
from appliance.tasks.loaded import LoadedTask, load
from appliance.tuning.teacher_items import taught, with_taught
from tests.evals.orders import TASK
from tests.tasks.example import FIELDS, SCHEMA

TEACHER = "cd" * 32
ANSWER = {"part": None, "side": None, "hours": 1, "count": 1, "urgent": True, "note": ""}


def loaded(text: str = TASK) -> LoadedTask:
    files = {"task.toml": text, "schema.json": json.dumps(SCHEMA)}
    return load(lambda name, most: files[name].encode()[:most], "ab" * 32)


def item(name: str, expected: str | None = None, text: str = "", group: str = "") -> Item:
    return Item(name, group or f"g-{name}", {"text": text or f"order {name}"}, expected)


def data(*waiting: Item) -> Dataset:
    train = (item("t1", "engine", "piston broken"), item("t2", "hydraulics"))
    dev = (item("d1", "engine", "turbo noisy"),)
    splits = {"train": train, "dev": dev, "certify": (), "test": (), "unlabelled": waiting}
    return Dataset(DatasetManifest("orders", source="the plant."), splits)


def said(*answers: tuple[Item, str | None], failure: str = "timeout") -> dict[str, Outcome]:
    return {
        one.id: Outcome(one.id, one.group, "", text, 0, 1, failure="" if text else failure)
        for one, text in answers
    }


def test_only_what_can_be_learned_is_taken_and_the_rest_is_counted(tmp_path: Path) -> None:
    good, other = item("u1"), item("u2")
    late, same = item("u3"), item("u4", text="Piston, broken")
    seen, group = item("u5", text="turbo NOISY"), item("u6", group="g-d1")
    asked = data(good, other, late, same, seen, group, item("u7"))
    answers = said(
        (good, "engine"), (other, "gearbox"), (late, None), (same, "hydraulics"),
        (seen, "engine"), (group, "engine"),
    )  # fmt: skip
    found = taught(loaded(), asked, answers, TEACHER)
    assert [(one.id, one.expected, one.teacher) for one in found.items] == [
        ("u1", "engine", TEACHER)
    ]
    assert found.dropped == {"contradicts": 1, "form": 1, "judges": 2, "timeout": 1}
    assert found.share_dropped == 5 / 6
    made = with_taught(asked, found, "1 item was answered by a model.")
    assert len(made.splits["train"]) == 3 and len(made.splits["unlabelled"]) == 6
    assert made.manifest.source == "the plant. 1 item was answered by a model."
    directory.write(tmp_path / "made", made)
    assert directory.read(tmp_path / "made") == made


def test_an_item_whose_group_is_sealed_is_not_taken() -> None:
    waiting = item("u1", group="secret")
    part = sealing.describe("orders", [item("c1", "engine", group="secret")])
    asked = replace(data(waiting), seal=Seal("s", "k", b"", {"test": part}))
    assert taught(loaded(), asked, said((waiting, "engine")), TEACHER).dropped == {"judges": 1}
    assert taught(loaded(), data(waiting), said((waiting, "engine")), TEACHER).dropped == {}


def test_fields_must_adhere_to_the_schema_and_be_writable() -> None:
    one, two, three = item("u1"), item("u2"), item("u3")
    answers = said(
        (one, json.dumps(ANSWER)), (two, json.dumps(ANSWER | {"side": "above"})), (three, "none")
    )
    found = taught(loaded(FIELDS), data(one, two, three), answers, TEACHER)
    assert [i.expected for i in found.items] == [ANSWER] and found.dropped == {"form": 2}


@pytest.mark.parametrize("split", ["dev", "certify", "test", "unlabelled"])
def test_what_a_model_answered_judges_nothing(tmp_path: Path, split: str) -> None:
    expected = None if split == "unlabelled" else "engine"
    one = replace(item("u1", expected), teacher=TEACHER)
    directory.write(tmp_path / "plain", replace(data(), splits=data().splits | {split: ()}))
    wrong = replace(data(), splits=data().splits | {split: (one,)})
    with pytest.raises(DatasetRefused) as refused:
        directory.write(tmp_path / "wrong", wrong)
    assert refused.value.code == "item_taught" and not (tmp_path / "wrong").exists()
    lines = tmp_path / "plain" / f"{split}.jsonl"
    lines.write_bytes(one.line())
    with pytest.raises(DatasetRefused) as refused:
        directory.read(tmp_path / "plain")
    assert refused.value.code == "item_taught"
