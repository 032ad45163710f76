"""Label queues on the admin socket: blind, recorded, and refused where they compare too early."""

import json
import os
import pwd
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from appliance.api.admin.deps import Person
from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.datasets.directory import write
from appliance.errors import ApplianceError
from appliance.wire.admin import labels as wire
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
    items = orders(66)
    made = [*items[:60], *(replace(item, expected=None) for item in items[60:])]
    write(tmp_path / "orders", dataset(made))
    return tmp_path / "orders"


@pytest.fixture
def queue(client: AdminClient, source: Path) -> str:
    wanted = LabelsNew.of(
        name="orders", data=str(source), labels=["hose", "pump"], raters=["anna", "ben"]
    )
    made = client.call(wire.LABEL_QUEUE_NEW, wanted)
    assert (made.items, made.done, made.finished) == (6, {"anna": 0, "ben": 0}, False)
    return made.name


Label = Callable[[str, Callable[[str], str]], list[str]]


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pass for another user, whom the kernel does not know here."""
    return lambda name: monkeypatch.setattr(Person, "name", name)


@pytest.fixture
def label(client: AdminClient, queue: str, acts: Callable[[str], None]) -> Label:
    def labelled(rater: str, choose: Callable[[str], str]) -> list[str]:
        acts(rater)
        saw = []
        while (shown := client.call(wire.LABEL_NEXT, name=queue)).item is not None:
            assert shown.rater == rater
            saw.append(shown.model_dump_json())
            client.call(
                wire.LABEL_SET, LabelSet.of(item=shown.item, label=choose(shown.item)), name=queue
            )
        return saw

    return labelled


def test_two_people_label_blind_and_a_third_decides(
    services: Services,
    client: AdminClient,
    queue: str,
    label: Label,
    acts: Callable[[str], None],
) -> None:
    label("anna", lambda _: "hose")
    early = client.call(wire.LABEL_QUEUE, name=queue)
    assert (early.kappa, early.agreement, early.unsettled) == (None, None, None)
    assert code_of(lambda: client.call(wire.LABEL_DIFFERENCES, name=queue)) == "labels_unfinished"
    assert code_of(lambda: client.call(wire.LABEL_ANSWERS, name=queue)) == "labels_unfinished"
    acts("ben")
    odd = client.call(wire.LABEL_NEXT, name=queue).item
    saw = label("ben", lambda item: "pump" if item == odd else "hose")
    assert not any("anna" in text for text in saw)
    assert {json.dumps(json.loads(text)["labels"]) for text in saw} == {'["hose", "pump"]'}
    done = client.call(wire.LABEL_QUEUE, name=queue)
    assert done.finished and done.unsettled == 1 and done.agreement == pytest.approx(5 / 6)
    (pair,) = client.call(wire.LABEL_DIFFERENCES, name=queue).differences
    assert (pair.item, pair.said) == (odd, ["hose", "pump"]) and "text" in pair.input
    assert label("carl", lambda _: "pump")[0].count("hose") == 1  # as a choice
    taken = client.call(wire.LABEL_ANSWERS, name=queue)
    assert taken.answers[str(odd)] == "pump" and len(taken.answers) == 6
    assert taken.report["settled_by_a_third"] == 1
    recorded = entries(services)
    assert [body["action"] for body in recorded] == [
        "labels_new", *["label_set"] * 13, "labels_taken",
    ]  # fmt: skip
    assert recorded[1]["rater"] == "anna"
    assert "answers_sha256" not in recorded[-1]
    assert recorded[-1]["content"]["mode"] == "commit-only"  # type: ignore[index]
    assert not any("label" in body for body in recorded)  # the log does not say what was chosen


def test_a_label_that_is_refused_leaves_no_entry(
    services: Services, client: AdminClient, queue: str, acts: Callable[[str], None]
) -> None:
    before = entries(services)
    acts("anna")
    item = str(client.call(wire.LABEL_NEXT, name=queue).item)
    for who, said, chosen, code in (
        ("anna", "nosuch", "hose", "item_unknown"),
        ("anna", item, "valve", "label_unknown"),
        ("carl", item, "hose", "labels_unfinished"),
    ):
        acts(who)
        wanted = LabelSet.of(item=said, label=chosen)
        assert code_of(partial(client.call, wire.LABEL_SET, wanted, name=queue)) == code
    assert entries(services) == before
    assert client.call(wire.LABEL_QUEUE, name=queue).done == {"anna": 0, "ben": 0}


def test_a_queue_is_refused_and_removed(
    services: Services, client: AdminClient, source: Path, queue: str
) -> None:
    again = LabelsNew.of(name=queue, data=str(source), labels=["a", "b"], raters=["anna", "ben"])
    assert code_of(lambda: client.call(wire.LABEL_QUEUE_NEW, again)) == "label_queue_exists"
    nothing = again.model_copy(update={"data": str(source / "nosuch"), "name": "other"})
    assert code_of(lambda: client.call(wire.LABEL_QUEUE_NEW, nothing)) == "dataset_unreadable"
    assert [q.name for q in client.call(wire.LABEL_QUEUES).queues] == [queue]
    assert client.call(wire.LABEL_QUEUE_REMOVE, name=queue).queues == []
    assert entries(services)[-1]["action"] == "labels_remove"
    assert code_of(lambda: client.call(wire.LABEL_QUEUE, name=queue)) == "label_queue_unknown"
    assert code_of(lambda: client.call(wire.LABEL_QUEUE, name="no/such")) == "label_queue_unknown"


def test_a_rater_is_the_user_of_the_socket_and_no_word(client: AdminClient, source: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    wanted = LabelsNew.of(name="q", data=str(source), labels=["a", "b"], raters=[me, "ben"])
    item = client.call(wire.LABEL_NEXT, name=client.call(wire.LABEL_QUEUE_NEW, wanted).name)
    assert item.rater == me
    with pytest.raises(ApplianceError):  # who else labels is nothing that a request can say
        LabelSet.of(item=item.item, label="a", rater="ben")
    asked = client._http.get("/admin/labels/q/next", params={"rater": "ben"})
    assert asked.json()["rater"] == me
    done = client.call(wire.LABEL_SET, LabelSet.of(item=item.item, label="a"), name="q")
    assert done.done == {me: 1, "ben": 0}


def test_a_part_of_the_items(client: AdminClient, source: Path) -> None:
    wanted = LabelsNew.of(
        name="some", data=str(source), labels=["a", "b"], raters=["anna", "ben"], limit=2
    )
    assert client.call(wire.LABEL_QUEUE_NEW, wanted).items == 2


def test_a_queue_whose_items_were_all_erased_is_listed(
    services: Services, client: AdminClient, queue: str
) -> None:
    services.labels.erase(services.labels.get(queue).labelling.items)
    (shown,) = client.call(wire.LABEL_QUEUES).queues
    assert (shown.items, shown.finished, shown.kappa) == (0, True, None)
    assert code_of(lambda: client.call(wire.LABEL_ANSWERS, name=queue)) == "label_queue_empty"
