"""`/v1/labels`: the queues that name a person, labelled blind; others are not there."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from appliance.api.openai.labels import rater_of
from appliance.audit.search import Query
from appliance.datasets.items import Item
from appliance.datasets.labelling import Given
from appliance.types import CLAIM, EndUser, Principal
from tests.api.conftest import Lan

ITEMS = [Item(f"u{n}", f"g{n}", {"text": f"text {n}"}) for n in range(4)]
PATH = "/v1/labels/notices"


@pytest.fixture(autouse=True)
def queue(lan: Lan) -> Iterator[None]:
    lan.services.labels.create(
        "notices", "/stick", ITEMS, ["leak", "noise"], ["key:test app", "ben"]
    )
    lan.services.labels.create("others", "/stick", ITEMS, ["leak", "noise"], ["anna", "ben"])
    yield
    for name in ("notices", "others"):
        lan.services.labels.remove(name)


async def given(lan: Lan, **body: Any) -> httpx.Response:
    return await lan.client.post(PATH, json=body)


async def test_a_person_labels_to_the_end_and_learns_nothing_of_the_other(lan: Lan) -> None:
    listed = (await lan.client.get("/v1/labels")).json()
    assert listed["rater"] == "key:test app"
    assert [(q["name"], q["done"], q["total"]) for q in listed["data"]] == [("notices", 0, 4)]
    lan.services.labels.set("notices", Given("u1", "ben", "noise"), "uid:7")
    saw = [(await lan.client.get(PATH)).json()]
    while saw[-1]["item"] is not None:
        reply = await given(lan, item=saw[-1]["item"], label="leak")
        assert reply.status_code == 200
        saw.append(reply.json())
    assert [one["done"] for one in saw] == [0, 1, 2, 3, 4]
    assert "ben" not in str(saw) and all(one["labels"] == ["leak", "noise"] for one in saw)
    kept = lan.services.labels.get("notices").labelling
    assert sum(one.rater == "key:test app" for one in kept.given) == 4


async def test_what_is_put_aside_comes_last_with_its_reason(lan: Lan) -> None:
    first = (await lan.client.get(PATH)).json()["item"]
    after = (await given(lan, item=first, aside="no_label_fits")).json()
    assert after["item"] != first and after["aside"] is None and after["done"] == 0
    for _ in range(3):
        after = (await given(lan, item=after["item"], label="leak")).json()
    assert (after["item"], after["aside"], after["done"]) == (first, "no_label_fits", 3)
    assert lan.services.labels.get("notices").labelling.reasons == {"no_label_fits": 1}
    assert (await given(lan, item=first, label="leak")).json()["item"] is None
    assert lan.services.labels.get("notices").labelling.reasons == {}


async def test_a_label_is_recorded_without_its_words(lan: Lan) -> None:
    await given(lan, item="u1", label="noise")
    await given(lan, item="u2", aside="unreadable")
    page = await asyncio.to_thread(
        lan.services.reader.search, Query(kind="admin", newest_first=True, limit=4)
    )
    aside, label = page.entries[:2]
    assert (aside.body["action"], aside.body["item"]) == ("label_aside", "u2")
    assert (label.body["action"], label.body["rater"]) == ("label_set", "key:test app")
    key = lan.services.keys.authenticate(lan.secret)
    assert label.body["actor"] == f"key:{key.key_id}"
    assert b"noise" not in label.raw and b"unreadable" not in aside.raw


async def test_a_queue_of_others_is_not_there(lan: Lan) -> None:
    told = []
    for name in ("others", "nothing", "no%2Fsuch"):
        for reply in (
            await lan.client.get(f"/v1/labels/{name}"),
            await lan.client.post(f"/v1/labels/{name}", json={"item": "u1", "label": "leak"}),
        ):
            error = reply.json()["error"]
            told.append((reply.status_code, error["code"], error["message"]))
    assert {code for _, code, _ in told} == {"label_queue_unknown"}
    assert len(set(told)) == 1 and told[0][0] == 404
    assert not lan.services.labels.get("others").labelling.given


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"item": "u1", "label": "rust"}, 400, "label_unknown"),
        ({"item": "none", "label": "leak"}, 404, "item_unknown"),
        ({"item": "none", "aside": "unreadable"}, 404, "item_unknown"),
        ({"item": "u1"}, 400, "invalid_value"),
        ({"item": "u1", "label": "leak", "aside": "unreadable"}, 400, "invalid_value"),
        ({"item": "u1", "aside": "because"}, 400, "invalid_value"),
        ({"item": "u1", "label": "leak", "rater": "ben"}, 400, "invalid_value"),
    ],
)
async def test_what_does_not_fit_is_refused(
    lan: Lan, body: dict[str, Any], status: int, code: str
) -> None:
    reply = await given(lan, **body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    kept = lan.services.labels.get("notices").labelling
    assert not kept.given and not kept.aside


def test_a_claim_is_no_rater_and_a_verified_person_is_one() -> None:
    claimed = Principal("k", "desk", person=EndUser("ben", CLAIM, "p1"))
    verified = Principal("k", "desk", person=EndUser("ben", "oidc:corp", "p1"))
    assert (rater_of(claimed), rater_of(verified)) == ("key:desk", "oidc:corp/ben")
