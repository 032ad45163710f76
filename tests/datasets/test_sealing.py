"""Sealed splits: encryption, the seal's facts, and opening."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import content
from appliance.datasets import changes, directory, sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.sealing import SEALED, SealKey, sealed_file
from appliance.datasets.splits import SplitRule
from appliance.errors import DatasetRefused
from appliance.trust.bytes.directory import open_artifact
from tests.datasets.examples import dataset, orders

KEK = bytes(range(32))
MARKS = bytes(range(1, 33))
"""The site's key of marks."""


def key(kek: bytes = KEK, name: str = "ab" * 16) -> SealKey:
    secret = bytes(32)
    return SealKey(
        name, secret, content.wrap(kek, sealing.key_id(name), secret), content.kek_name(kek), MARKS
    )


@pytest.fixture
def opened() -> Dataset:
    return dataset(orders(300))


@pytest.fixture
def path(tmp_path: Path, opened: Dataset) -> Path:
    made = tmp_path / "orders"
    directory.write(made, opened)
    directory.seal(made, opened, key())
    return made


def opening(path: Path, split: str, kek: bytes = KEK) -> tuple[Item, ...]:
    found = directory.read(path)
    assert found.seal is not None
    data = (path / sealed_file(split)).read_bytes()
    return sealing.open_part(found.seal, split, found.manifest.name, data, kek, MARKS)


def refused(action: Any) -> str:
    with pytest.raises(DatasetRefused) as caught:
        action()
    return caught.value.code


def test_a_sealed_dataset_tells_numbers_and_no_items(path: Path, opened: Dataset) -> None:
    found = directory.read(path)
    before, after = opened.facts(), found.facts()
    assert after.items == before.items and after.groups == before.groups
    assert after.sealed == ("certify", "test") and after.version == before.version + 1
    for split in SEALED:
        assert found.splits[split] == () and not (path / f"{split}.jsonl").exists()
        items = opened.splits[split]
        whole = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
        assert items and not any(item.text.encode() in whole for item in items)
        assert not any(item.group.encode() in whole for item in items)
    assert found.splits["train"] == opened.splits["train"]  # the control: these are open


def test_the_key_opens_the_very_items(path: Path, opened: Dataset) -> None:
    for split in SEALED:
        assert opening(path, split) == opened.splits[split]


def test_a_key_encryption_key_that_was_replaced_still_opens(path: Path) -> None:
    assert opening(path, "certify", bytes(range(64, 96)) + KEK) == opening(path, "certify")


def test_another_key_encryption_key_opens_nothing(path: Path) -> None:
    assert refused(lambda: opening(path, "test", bytes(32))) == "dataset_seal_foreign"


def test_a_changed_byte_opens_nothing(path: Path) -> None:
    file = path / sealed_file("test")
    data = bytearray(file.read_bytes())
    for place in (0, 13, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert refused(lambda: opening(path, "test")) == "dataset_seal_invalid"
    file.write_bytes(data)
    assert opening(path, "test")


def test_splits_cannot_be_swapped_nor_numbers_changed(path: Path) -> None:
    (path / "test.sealed").write_bytes((path / "certify.sealed").read_bytes())
    assert refused(lambda: opening(path, "test")) == "dataset_seal_invalid"
    seal = json.loads((path / sealing.FILE).read_text())
    seal["splits"]["certify"]["contents"] = []
    (path / sealing.FILE).write_text(json.dumps(seal))
    assert refused(lambda: opening(path, "certify")) == "dataset_seal_invalid"


def test_renamed_groups_keep_the_marks_of_their_content(opened: Dataset) -> None:
    items = opened.splits["test"]
    part = sealing.describe("orders", items)
    renamed = sealing.describe("other", [replace(i, group="x" + i.group) for i in items])
    assert part.marks.groups & renamed.marks.groups and not set(part.names) & set(renamed.names)
    reworded = sealing.describe(
        "orders", [replace(i, input={"text": "new " + i.text}) for i in items]
    )
    assert set(part.names) == set(reworded.names) and not set(part.contents) & set(
        reworded.contents
    )
    strangers = sealing.describe("strangers", orders(300, seed=9))
    assert not part.marks.groups & strangers.marks.groups  # the control


def test_short_texts_say_nothing_of_a_group() -> None:
    short = [
        Item("a", "g1", {"text": "oil leak"}, "engine"),
        Item("b", "g2", {"text": "OIL leak"}, "x"),
    ]
    assert sealing.describe("orders", short).contents == ()


def test_a_group_of_a_sealed_split_is_refused_in_an_open_one(path: Path, opened: Dataset) -> None:
    item = replace(opened.splits["test"][0], id="new")
    with (path / "train.jsonl").open("ab") as file:
        file.write(item.line())
    assert refused(lambda: directory.read(path)) == "group_in_two_splits"


def test_what_is_sealed_is_neither_sealed_nor_split_again(path: Path) -> None:
    found = directory.read(path)
    assert refused(lambda: directory.seal(path, found, key())) == "dataset_sealed"
    assert refused(lambda: changes.divided(found, SplitRule("group"))) == "dataset_sealed"


def test_open_items_may_go_and_the_seal_stays(path: Path, opened: Dataset) -> None:
    found = directory.read(path)
    gone = found.splits["train"][0].id
    directory.rewrite(path, changes.without(found, [gone]))
    assert opening(path, "test") == opened.splits["test"]
    assert gone not in {item.id for item in directory.read(path).items}


def test_nothing_to_seal_is_refused(tmp_path: Path, opened: Dataset) -> None:
    only = replace(opened, splits={**opened.splits, "test": (), "certify": ()})
    directory.write(tmp_path / "d", only)
    assert refused(lambda: directory.seal(tmp_path / "d", only, key())) == "dataset_seal_empty"
    assert not (tmp_path / "d" / sealing.FILE).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "test.sealed").unlink(),
        lambda path: (path / sealing.FILE).unlink(),
        lambda path: (path / "test.jsonl").write_text("{}\n"),
        lambda path: (path / sealing.FILE).write_text("{}"),
        lambda path: (path / sealing.FILE).write_text('{"format": 2}'),
        lambda path: edit(path, lambda seal: seal["splits"]["test"].update(groups=0)),
        lambda path: edit(path, lambda seal: seal["splits"]["test"].update(surprise=1)),
        lambda path: edit(path, lambda seal: seal["splits"].update(train=seal["splits"]["test"])),
        lambda path: edit(path, lambda seal: seal.update(key="zz")),
    ],
)
def test_a_seal_that_does_not_fit_is_refused(path: Path, change: Any) -> None:
    change(path)
    assert refused(lambda: directory.read(path)) == "dataset_seal_invalid"


def edit(path: Path, change: Any) -> None:
    seal = json.loads((path / sealing.FILE).read_text())
    change(seal)
    (path / sealing.FILE).write_text(json.dumps(seal))


def test_vetting_reads_a_sealed_dataset(path: Path) -> None:
    with open_artifact(path) as artifact:
        assert directory.vet(artifact).kept().sealed == ("certify", "test")
