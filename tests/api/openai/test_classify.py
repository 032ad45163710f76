"""`/v1/classify` with a scripted engine: vLLM's shape, whole or not at all."""

import pytest

from appliance.types import Delta, TaskAnswer
from tests.api.conftest import Lan
from tests.api.fake import CARD, worker_lost

ABOUT = TaskAnswer(
    "orders", 3, "ab" * 32, "smol", "blend", "cd" * 32,
    confidence=0.75, distribution=(("engine", 0.25), ("hose", 0.75)),
)  # fmt: skip


def body(**fields: object) -> dict[str, object]:
    return {"model": CARD.id, "input": "hose leaks", **fields}


async def test_a_text_gets_a_label_and_every_probability(lan: Lan) -> None:
    lan.inference.script = (Delta("hose", 0, "stop", about=ABOUT),)
    reply = await lan.client.post("/v1/classify", json=body())
    assert reply.status_code == 200
    assert reply.headers["x-appliance-receipt"]
    answer = reply.json()
    assert answer["data"] == [
        {"index": 0, "label": "hose", "probs": [0.25, 0.75], "num_classes": 2}
    ]
    assert (answer["object"], answer["model"]) == ("list", CARD.id)
    assert answer["id"].startswith("classify-") and isinstance(answer["created"], int)
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 0,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert answer["x_appliance"] == {
        "task": "orders",
        "version": 3,
        "digest": "ab" * 32,
        "stage": "smol",
        "candidate": {"kind": "blend", "digest": "cd" * 32},
        "labels": ["engine", "hose"],
    }
    ((_, request),) = lan.inference.requests
    assert (request.prompt, request.task.distribution, request.kind) == (
        "hose leaks",
        True,
        "generate",
    )


async def test_each_text_is_a_request_of_its_own_and_comes_in_order(lan: Lan) -> None:
    lan.inference.script = (Delta("hose", 0, "stop", about=ABOUT),)
    reply = await lan.client.post("/v1/classify", json=body(input=["a", "b", "c"]))
    answer = reply.json()
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == 21
    assert reply.headers["x-appliance-receipt"].count(", ") == 2
    assert [request.prompt for _, request in lan.inference.requests] == ["a", "b", "c"]
    assert len({caller.request_id for caller, _ in lan.inference.requests}) == 3


@pytest.mark.parametrize("last", [Delta("", 0, "cancelled"), worker_lost()])
async def test_half_an_answer_is_none(lan: Lan, last: Delta) -> None:
    lan.inference.script = (last,)
    reply = await lan.client.post("/v1/classify", json=body(input=["a", "b"]))
    assert reply.status_code == 503
