"""`/v1/rerank` with a scripted engine."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.openai.rerank import relevance
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import CARD

SCORES = (-2.0, 3.0, 0.0)
DOCUMENTS = ["low", "high", {"text": "middle"}]


@pytest.fixture(autouse=True)
def scores(lan: Lan) -> None:
    *first, last = (struct.pack("<f", score) for score in SCORES)
    rows = [Delta("", 0, vector=vector) for vector in first]
    lan.inference.script = (*rows, Delta("", 0, "stop", vector=last))


def body(**fields: object) -> dict[str, object]:
    return {"model": CARD.id, "query": "q", "documents": DOCUMENTS, **fields}


async def test_the_most_relevant_comes_first(lan: Lan) -> None:
    reply = await lan.client.post("/v1/rerank", json=body())
    answer = reply.json()
    assert [r["index"] for r in answer["results"]] == [1, 2, 0]
    assert answer["results"][1] == {"index": 2, "relevance_score": 0.5}
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert answer["id"].startswith("rerank-") and answer["model"] == CARD.id
    ((_, request),) = lan.inference.requests
    assert (request.texts, request.query, request.kind) == (
        ("low", "high", "middle"),
        "q",
        "rerank",
    )


async def test_top_n_and_the_documents_on_demand(lan: Lan) -> None:
    reply = await lan.client.post("/v1/rerank", json=body(top_n=1, return_documents=True))
    (result,) = reply.json()["results"]
    assert result["document"] == {"text": "high"}
    reply = await lan.client.post("/v1/rerank", json=body(top_n=9))
    assert len(reply.json()["results"]) == 3


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_relevance_keeps_the_order_and_the_range(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert 0 <= relevance(low) <= relevance(high) <= 1
