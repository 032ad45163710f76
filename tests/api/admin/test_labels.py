"""Label queues on the admin socket: blind, recorded, and refused where they compare too early."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.datasets.directory import write
from appliance.errors import ApplianceError
from appliance.wire.admin.labels import LabelSet, LabelsNew
from tests.datasets.examples import dataset, orders


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()
    return caught.value.code


def entries(services: Services) -> list[dict[str, object]]:
    found = services.reader.search(Query(kind="admin", limit=100)).entries
    return [dict(entry.body) for entry in found if "label" in str(entry.body["action"])]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A dataset with six items that nobody has labelled, beside labelled ones."""
    items = orders(66)
    made = [*items[:60], *(replace(item, expected=None) for item in items[60:])]
    write(tmp_path / "orders", dataset(made))
    return tmp_path / "orders"


@pytest.fixture
def queue(client: AdminClient, source: Path) -> str:
    wanted = LabelsNew.of(
        name="orders", data=str(source), labels=["hose", "pump"], raters=["anna", "ben"]
    )
    made = client.new_label_queue(wanted)
    assert (made.items, made.done, made.finished) == (6, {"anna": 0, "ben": 0}, False)
    return made.name


def label(client: AdminClient, queue: str, rater: str, choose: Callable[[str], str]) -> list[str]:
    """All that is asked of a person; what they saw."""
    saw = []
    while (shown := client.next_label(queue, rater)).item is not None:
        saw.append(shown.model_dump_json())
        client.set_label(queue, LabelSet.of(item=shown.item, label=choose(shown.item), rater=rater))
    return saw


def test_two_people_label_blind_and_a_third_decides(
    services: Services, client: AdminClient, queue: str
) -> None:
    label(client, queue, "anna", lambda _: "hose")
    early = client.label_queue(queue)
    assert (early.kappa, early.agreement, early.unsettled) == (None, None, None)
    assert code_of(lambda: client.label_differences(queue)) == "labels_unfinished"
    assert code_of(lambda: client.take_labels(queue)) == "labels_unfinished"
    odd = client.next_label(queue, "ben").item
    saw = label(client, queue, "ben", lambda item: "pump" if item == odd else "hose")
    assert not any("anna" in text for text in saw)
    assert {json.dumps(json.loads(text)["labels"]) for text in saw} == {'["hose", "pump"]'}
    done = client.label_queue(queue)
    assert done.finished and done.unsettled == 1 and done.agreement == pytest.approx(5 / 6)
    (pair,) = client.label_differences(queue).differences
    assert (pair.item, pair.said) == (odd, ["hose", "pump"]) and "text" in pair.input
    assert label(client, queue, "carl", lambda _: "pump")[0].count("hose") == 1  # as a choice
    taken = client.take_labels(queue)
    assert taken.answers[str(odd)] == "pump" and len(taken.answers) == 6
    assert taken.report["settled_by_a_third"] == 1
    recorded = entries(services)
    assert [body["action"] for body in recorded] == [
        "labels_new", *["label_set"] * 13, "labels_taken",
    ]  # fmt: skip
    assert recorded[1]["rater"] == "anna"
    assert not any("label" in body for body in recorded)  # the log does not say what was chosen


def test_a_label_that_is_refused_leaves_no_entry(
    services: Services, client: AdminClient, queue: str
) -> None:
    before = entries(services)
    item = str(client.next_label(queue, "anna").item)
    for wrong, code in (
        ({"item": "nosuch", "label": "hose", "rater": "anna"}, "item_unknown"),
        ({"item": item, "label": "valve", "rater": "anna"}, "label_unknown"),
        ({"item": item, "label": "hose", "rater": "carl"}, "labels_unfinished"),
    ):
        wanted = LabelSet.of(**wrong)
        assert code_of(lambda wanted=wanted: client.set_label(queue, wanted)) == code  # type: ignore[misc]
    assert entries(services) == before
    assert client.label_queue(queue).done == {"anna": 0, "ben": 0}


def test_a_queue_is_refused_and_removed(
    services: Services, client: AdminClient, source: Path, queue: str
) -> None:
    again = LabelsNew.of(name=queue, data=str(source), labels=["a", "b"], raters=["anna", "ben"])
    assert code_of(lambda: client.new_label_queue(again)) == "label_queue_exists"
    nothing = again.model_copy(update={"data": str(source / "nosuch"), "name": "other"})
    assert code_of(lambda: client.new_label_queue(nothing)) == "dataset_unreadable"
    assert [q.name for q in client.label_queues().queues] == [queue]
    assert client.remove_label_queue(queue).queues == []
    assert entries(services)[-1]["action"] == "labels_remove"
    assert code_of(lambda: client.label_queue(queue)) == "label_queue_unknown"
    assert code_of(lambda: client.label_queue("no/such")) == "label_queue_unknown"


def test_a_part_of_the_items(client: AdminClient, source: Path) -> None:
    wanted = LabelsNew.of(
        name="some", data=str(source), labels=["a", "b"], raters=["anna", "ben"], limit=2
    )
    assert client.new_label_queue(wanted).items == 2
