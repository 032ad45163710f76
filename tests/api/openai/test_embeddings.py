"""`/v1/embeddings` with a scripted engine."""

import base64
import struct
from dataclasses import replace

import pytest

from appliance.types import Delta
from tests.api import fake
from tests.api.conftest import Lan
from tests.api.fake import CARD

VECTORS = [(0.6, 0.8), (-1.0, 0.0)]
PACKED = [struct.pack("<2f", *vector) for vector in VECTORS]


@pytest.fixture(autouse=True)
def vectors(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = PACKED
    lan.inference.script = (Delta("", 0, vector=first), Delta("", 0, "stop", vector=last))
    monkeypatch.setattr(fake, "CARD", replace(CARD, kind="embed", n_embd=2))


async def test_numbers_are_the_default_and_the_usage_is_told(lan: Lan) -> None:
    reply = await lan.client.post("/v1/embeddings", json={"model": CARD.id, "input": ["a", "b"]})
    body = reply.json()
    assert reply.status_code == 200
    assert [d["index"] for d in body["data"]] == [0, 1]
    assert [tuple(d["embedding"]) for d in body["data"]] == [
        struct.unpack("<2f", packed) for packed in PACKED
    ]
    assert (body["object"], body["data"][0]["object"]) == ("list", "embedding")
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert body["model"] == CARD.id
    outcome = lan.inference.generations[0].outcome
    assert outcome is not None
    assert reply.headers["x-appliance-receipt"] == outcome.header()
    ((_, request),) = lan.inference.requests
    assert (request.texts, request.query, request.kind) == (("a", "b"), None, "embed")


async def test_base64_holds_little_endian_floats(lan: Lan) -> None:
    body = {"model": CARD.id, "input": "a", "encoding_format": "base64"}
    data = (await lan.client.post("/v1/embeddings", json=body)).json()["data"]
    assert [base64.b64decode(d["embedding"]) for d in data] == PACKED


async def test_only_the_models_own_width_can_be_asked_for(lan: Lan) -> None:
    body = {"model": CARD.id, "input": "a", "dimensions": 2}
    assert (await lan.client.post("/v1/embeddings", json=body)).status_code == 200
    reply = await lan.client.post("/v1/embeddings", json={**body, "dimensions": 1})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "unsupported_parameter")
    assert error["param"] == "dimensions" and "2 numbers" in error["message"]


async def test_token_ids_are_400_with_the_reason(lan: Lan) -> None:
    reply = await lan.client.post("/v1/embeddings", json={"model": CARD.id, "input": [[1, 2]]})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (
        400,
        "unsupported_parameter",
        "input",
    )
    assert lan.inference.requests == []
