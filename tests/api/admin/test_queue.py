"""Routes of the queue of people on the admin socket."""

import pytest

from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import Refused
from appliance.routing.people import Deferred, Form
from tests.routing.upstreams.site import caller, entries


def put(services: Services, request: str = "req-1", form: Form | None = None) -> Deferred:
    who = caller("k1").__class__(caller("k1").principal, request, "", "/v1/chat/completions")
    form = form or Form(("leak", "noise"))
    return services.people.put(who, "orders", {"order": "It drips."}, form, hours=1, reason="r")


def test_items_are_listed_answered_and_taken(services: Services, client: AdminClient) -> None:
    one, two = put(services), put(services, "req-2", Form(schema={"type": "object"}))
    assert {item.id for item in client.waiting().items} == {one.id, two.id}
    assert client.waiting(task="other").items == []
    assert client.waiting_item(two.id).form == {"type": "object"}
    for item, answer in ((one.id, "rust"), (two.id, "leak")):
        with pytest.raises(Refused) as caught:
            client.answer_waiting(item, answer)
        assert caught.value.code == "queue_answer_unfit"
    done = client.answer_waiting(one.id, "leak")
    assert (done.state, done.answer) == ("answered", "leak") and done.actor is not None
    assert [item.id for item in client.waiting().items] == [two.id]
    assert len(client.waiting(everything=True).items) == 2
    taken = client.waiting_labels("orders")
    assert [(item["id"], item["expected"]) for item in taken.items] == [("req-1", "leak")]
    assert entries(services, "admin")[-1]["action"] == "queue_labels"
    with pytest.raises(Refused) as caught:
        client.waiting_item("wait-0")
    assert caught.value.code == "queue_item_unknown"
