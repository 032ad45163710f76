"""Routes of the queue of people on the admin socket."""

import hashlib
import json
import os

import pytest

from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.routing.people import DeferredItem, Form
from appliance.wire.admin import queue as wire
from tests.routing.upstreams.site import caller, entries


def put(services: Services, request: str = "req-1", form: Form | None = None) -> DeferredItem:
    who = caller("k1").__class__(caller("k1").principal, request, "", "/v1/chat/completions")
    form = form or Form(("leak", "noise"))
    order = {"order": f"It drips, {request}."}
    return services.people.put(who, "orders", order, form, hours=1, reason="r")


def test_items_are_listed_answered_and_taken(services: Services, client: AdminClient) -> None:
    one, two = put(services), put(services, "req-2", Form(schema={"type": "object"}))
    assert {item.id for item in client.call(wire.QUEUE).items} == {one.id, two.id}
    assert client.call(wire.QUEUE, task="other").items == []
    assert client.call(wire.QUEUE_ITEM, item_id=two.id).form == {"type": "object"}
    for item, answer in ((one.id, "rust"), (two.id, "leak")):
        with pytest.raises(Refused) as caught:
            client.call(wire.QUEUE_ANSWER, wire.QueueAnswer.of(answer=answer), item_id=item)
        assert caught.value.code == "queue_answer_unfit"
    done = client.call(wire.QUEUE_ANSWER, wire.QueueAnswer.of(answer="leak"), item_id=one.id)
    assert (done.state, done.answer) == ("answered", "leak") and done.actor is not None
    assert [item.id for item in client.call(wire.QUEUE).items] == [two.id]
    assert len(client.call(wire.QUEUE, everything=True).items) == 2
    taken = client.call(wire.QUEUE_LABELS, wire.QueueTask.of(task="orders"))
    assert [(item["id"], item["expected"]) for item in taken.items] == [("req-1", "leak")]
    assert entries(services, "admin")[-1]["action"] == "queue_labels"
    with pytest.raises(Refused) as caught:
        client.call(wire.QUEUE_ITEM, item_id="wait-0")
    assert caught.value.code == "queue_item_unknown"


def reads(services: Services) -> list[object]:
    found = [entry for entry in entries(services, "admin") if entry["action"] == "queue_read"]
    return [entry["items"] for entry in found]


def test_a_person_who_reads_texts_is_recorded(services: Services, client: AdminClient) -> None:
    one, two = put(services), put(services, "req-2")
    assert reads(services) == []  # the control: what waits unread is no entry
    client.call(wire.QUEUE)
    (first,) = reads(services)
    assert isinstance(first, list) and set(first) == {one.id, two.id}
    client.call(wire.QUEUE)  # a list that a screen asks for again and again is one reading
    assert len(reads(services)) == 1
    three = put(services, "req-3")
    client.call(wire.QUEUE)
    assert reads(services)[-1] == [three.id]
    for number in (3, 4):
        client.call(wire.QUEUE_ITEM, item_id=one.id)
        assert reads(services)[-1] == [one.id] and len(reads(services)) == number
    assert entries(services, "admin")[-1]["actor"] == f"uid:{os.geteuid()}"


def test_the_log_commits_to_answers_and_does_not_tell_them(
    services: Services, client: AdminClient
) -> None:
    """Whoever reads the log and tries every label learns nothing."""
    one = put(services)
    client.call(wire.QUEUE_ANSWER, wire.QueueAnswer.of(answer="leak"), item_id=one.id)
    client.call(wire.QUEUE_LABELS, wire.QueueTask.of(task="orders"))
    for entry in entries(services, "admin")[-2:]:
        said = json.dumps(entry)
        for label in ("leak", "noise"):
            for text in (label, json.dumps(label)):
                assert hashlib.sha256(text.encode()).hexdigest() not in said
        assert "sha256" not in said
    answered, taken = entries(services, "admin")[-2:]
    assert (answered["content"]["mode"], taken["content"]["mode"]) == ("encrypted", "commit-only")
    assert services.reader.content(answered["seq"], "answer") == b'"leak"'
