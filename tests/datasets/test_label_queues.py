"""Queues in the database: kept data, refusals, removal."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.clock import SystemClock
from appliance.datasets.items import Item
from appliance.datasets.label_queues import ASIDE, SEALED, TABLES, LabelQueues, shuffled
from appliance.datasets.labelling import Given, PutAside
from appliance.db import open_database
from appliance.errors import DatasetRefused

ITEMS = [Item(f"u{n}", f"g{n}", {"text": f"text {n}", "hours": n}) for n in range(6)]
LABELS, RATERS = ("hose", "pump"), ("anna", "ben")


@pytest.fixture
def queues(tmp_path: Path) -> LabelQueues:
    return opened(tmp_path)


def opened(directory: Path) -> LabelQueues:
    return LabelQueues(open_database(directory / "a.db", (TABLES, SEALED, ASIDE)), SystemClock())


def code(call: object, *arguments: object) -> str:
    with pytest.raises(DatasetRefused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_a_queue_is_kept_with_its_items_and_labels(queues: LabelQueues, tmp_path: Path) -> None:
    queues.create("orders", "/stick/orders", ITEMS, LABELS, RATERS)
    first = queues.get("orders").labelling.items[0]
    queues.set("orders", Given(first, "anna", "hose"), "uid:7")
    again = opened(tmp_path)
    (found,) = again.list()
    assert (found.name, found.source) == ("orders", "/stick/orders")
    assert found.labelling.items == tuple(item.id for item in shuffled(ITEMS))
    assert (found.labelling.labels, found.labelling.raters) == (LABELS, RATERS)
    assert found.labelling.given == (Given(first, "anna", "hose"),)
    number = int(first[1:])
    assert again.input_of("orders", first) == {"text": f"text {number}", "hours": number}


def test_a_label_is_replaced_by_its_rater_alone(queues: LabelQueues) -> None:
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    for rater, label in (("anna", "hose"), ("ben", "hose"), ("anna", "pump")):
        queues.set("orders", Given("u1", rater, label), "uid:7")
    assert queues.get("orders").labelling.given == (
        Given("u1", "anna", "pump"),
        Given("u1", "ben", "hose"),
    )


def test_what_is_put_aside_is_kept_the_newest_last_and_goes_with_its_item(
    queues: LabelQueues, tmp_path: Path
) -> None:
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    for item in ("u1", "u2", "u1"):
        queues.put_aside("orders", PutAside(item, "anna", "unreadable"))
    kept = opened(tmp_path).get("orders").labelling
    assert [one.item for one in kept.aside] == ["u2", "u1"]
    queues.erase(["u2"])
    assert [one.item for one in queues.get("orders").labelling.aside] == ["u1"]
    unknown = PutAside("none", "anna", "unreadable")
    assert code(queues.put_aside, "orders", unknown) == "item_unknown"
    queues.remove("orders")
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    assert queues.get("orders").labelling.aside == ()


def test_a_label_that_is_refused_changes_nothing(queues: LabelQueues) -> None:
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    before = queues.get("orders")
    assert code(queues.set, "orders", Given("u1", "anna", "valve"), "uid:7") == "label_unknown"
    assert code(queues.set, "none", Given("u1", "anna", "hose"), "u") == "label_queue_unknown"
    assert queues.get("orders") == before


def test_a_queue_that_cannot_be_is_refused(queues: LabelQueues) -> None:
    assert code(queues.create, "orders", "", [], LABELS, RATERS) == "label_queue_empty"
    assert code(queues.create, "orders", "", ITEMS, ("hose",), RATERS) == "label_unknown"
    assert code(queues.create, "orders", "", ITEMS, LABELS, ("a", "a")) == "rater_invalid"
    many = [Item(f"u{n}", "g", {"text": "x"}) for n in range(10_001)]
    assert code(queues.create, "orders", "", many, LABELS, RATERS) == "dataset_too_large"
    assert queues.list() == ()
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    assert code(queues.create, "orders", "", ITEMS, LABELS, RATERS) == "label_queue_exists"


def test_a_queue_that_is_removed_takes_its_texts_and_labels(queues: LabelQueues) -> None:
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    queues.set("orders", Given("u1", "anna", "hose"), "uid:7")
    queues.remove("orders")
    assert queues.list() == ()
    assert code(queues.input_of, "orders", "u1") == "item_unknown"
    assert code(queues.remove, "orders") == "label_queue_unknown"
    queues.create("orders", "", ITEMS, LABELS, RATERS)
    assert queues.get("orders").labelling.given == ()


def test_a_queue_of_a_gate_has_names_that_tell_nothing_and_is_found_by_the_ids(
    queues: LabelQueues,
) -> None:
    names = {f"x{n}": item.id for n, item in enumerate(ITEMS)}
    shown = [replace(item, id=name) for name, item in zip(names, ITEMS, strict=True)]
    queues.create("gate-7", "orders", shown, LABELS, RATERS, names, 7)
    queues.create("mine", "orders", ITEMS[:1], LABELS, RATERS)
    assert {queue.name: queue.job for queue in queues.list()} == {"gate-7": 7, "mine": 0}
    assert queues.holds(["u0"]) == {"gate-7": 1, "mine": 1} and queues.aliases(["u0"]) == ("x0",)
    assert queues.origins("gate-7") == names
    queues.erase(["u0", "u3"])
    assert set(queues.get("gate-7").labelling.items) == {"x1", "x2", "x4", "x5"}
