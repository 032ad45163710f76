"""Vectors and scores of other hosts: one for each text, or no answer at all."""

import base64
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services
from appliance.config import parse_config
from appliance.errors import ApplianceError, Forbidden, UpstreamLost
from appliance.retrieval.embedder import Embedder
from appliance.routing.upstreams.events import decode
from appliance.routing.upstreams.pooled import PooledReply, ToldScores, ToldVectors, rows
from appliance.types import GenerationRequest
from appliance.upstream_kinds import KINDS
from appliance.wire.admin.collections import COLLECTION_NEW, CollectionNew
from tests.api.admin.lab import client_of
from tests.routing.upstreams.engine import NEVER, Engine, Request
from tests.routing.upstreams.site import (
    BIG,
    all_hops,
    answer,
    caller,
    config,
    entries,
    ready,
    until,
)

WIDTH = 4


def vector(text: str) -> list[float]:
    numbers = [1.0, *(float(text.encode()[at % len(text)]) / 100 for at in range(WIDTH - 1))]
    return [number / math.hypot(*numbers) for number in numbers]


def told(request: Request) -> dict[str, Any]:
    body = request.body
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    if request.path == "/v1/rerank":
        scores = [len(text) / 1000 for text in body["documents"]]
        found = [{"index": at, "relevance_score": score} for at, score in enumerate(scores)]
        return {"id": "r", "results": found[::-1], "usage": usage}
    packed = [np.array(vector(text), "<f4").tobytes() for text in body["input"]]
    data = [
        {"index": at, "embedding": base64.b64encode(row).decode()} for at, row in enumerate(packed)
    ]
    return {"data": data, "model": "m", "usage": usage}


@asynccontextmanager
async def served(
    data: Path, does: str = "embed", **more: Any
) -> AsyncIterator[tuple[Engine, Services]]:
    async with (
        Engine(reply=told).serve() as engine,
        ready(data, config(engine.url, does=does, **more)) as services,
    ):
        engine.requests.clear()
        yield engine, services


def texts(*given: str, query: str | None = None) -> GenerationRequest:
    return GenerationRequest(BIG, texts=given, query=query)


async def test_an_app_gets_vectors_and_the_log_has_the_hop(tmp_path: Path) -> None:
    async with served(tmp_path / "d") as (engine, services):
        _, secret = services.keys.create("app")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_lan_app(services)),
            base_url="http://lan",
            headers={"authorization": f"Bearer {secret}"},
        ) as client:
            body = {"model": BIG, "input": ["A pump leaks.", "b"]}
            reply = await client.post("/v1/embeddings", json=body)
            found = reply.json()
            assert [one["index"] for one in found["data"]] == [0, 1]
            for text, one in zip(body["input"], found["data"], strict=True):
                assert one["embedding"] == pytest.approx(vector(text), abs=1e-6)
            assert found["usage"]["prompt_tokens"] == 9
            cut = await client.post("/v1/embeddings", json={**body, "dimensions": 2})
            assert cut.json()["error"]["code"] == "unsupported_parameter"
            (card,) = (await client.get("/v1/models")).json()["data"]
            assert (card["id"], card["meta"]["kind"], card["meta"]["dimensions"]) == (
                BIG, "embed", WIDTH,
            )  # fmt: skip
            wrong = await client.post("/v1/completions", json={"model": BIG, "prompt": "x"})
            assert wrong.json()["error"]["code"] == "wrong_model_kind"
        (sent,) = engine.requests
        assert (sent.path, sent.body["input"]) == ("/v1/embeddings", body["input"])
        assert sent.headers["x-request-id"].startswith("req-")
        assert [hop["event"] for hop in all_hops(services)] == ["sent", "answered"]
        (outcome,) = entries(services, "outcome")
        assert (outcome["status"], outcome["answered_by"]["host"]) == ("ok", engine.url)
        assert reply.headers["x-appliance-receipt"].startswith(f"{outcome['seq']} ")


async def test_an_app_gets_documents_by_their_scores(tmp_path: Path) -> None:
    async with served(tmp_path / "d", "rerank") as (_, services):
        _, secret = services.keys.create("app")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_lan_app(services)),
            base_url="http://lan",
            headers={"authorization": f"Bearer {secret}"},
        ) as client:
            body = {"model": BIG, "query": "q", "documents": ["short", "much longer"]}
            found = (await client.post("/v1/rerank", json=body)).json()["results"]
        assert [one["index"] for one in found] == [1, 0]
        assert [one["relevance_score"] for one in found] == pytest.approx([0.011, 0.005])


def data(*given: Any) -> dict[str, Any]:
    return {"data": [{"index": at, "embedding": one} for at, one in enumerate(given)]}


def scores(*given: Any) -> dict[str, Any]:
    return {"results": [{"index": at, "relevance_score": one} for at, one in enumerate(given)]}


GOOD = [0.5, 0.5, 0.5, 0.5]
NOT_VECTORS: dict[str, Any] = {
    "too few": data(GOOD),
    "too many": data(GOOD, GOOD, GOOD),
    "none": data(),
    "out of order": {"data": data(GOOD, GOOD)["data"][::-1]},
    "twice the same": {"data": data(GOOD, GOOD)["data"][:1] * 2},
    "a negative index": {"data": [{"index": -1, "embedding": GOOD}, *data(GOOD)["data"]]},
    "short": data(GOOD, GOOD[:3]),
    "long": data(GOOD, [*GOOD, 0.1]),
    "both another length": data(GOOD[:3], GOOD[:3]),
    "empty": data([], []),
    "zero": data(GOOD, [0.0] * 4),
    "beyond 32 bits": data(GOOD, [1e39, 0.0, 0.0, 0.0]),
    "infinite": b'{"data":[{"index":0,"embedding":[1e999]},{"index":1,"embedding":[1]}]}',
    "NaN": b'{"data":[{"index":0,"embedding":[NaN]},{"index":1,"embedding":[1]}]}',
    "text in numbers": data(GOOD, ["1", 0.0, 0.0, 0.0]),
    "nested": data(GOOD, [[1.0]]),
    "no base64": data(GOOD, "%%%%"),
    "half a float": data(GOOD, base64.b64encode(bytes(15)).decode()),
    "NaN in base64": data(GOOD, base64.b64encode(np.full(4, np.nan, "<f4").tobytes()).decode()),
    "a wide one": data(GOOD, [0.1] * 70_000),
    "an error": {"error": {"message": "no"}},
    "a list": [GOOD, GOOD],
}
NOT_SCORES: dict[str, Any] = {
    "too few": scores(0.5),
    "too many": scores(0.5, 0.4, 0.3),
    "twice the same": {"results": scores(0.5, 0.5)["results"][:1] * 2},
    "a gap": {"results": [{"index": at, "relevance_score": 0.5} for at in (0, 2)]},
    "above 1": scores(0.5, 1.5),
    "below 0": scores(0.5, -0.1),
    "infinite": b'{"results":[{"index":0,"relevance_score":1e999}]}',
    "null": scores(0.5, None),
}


def read(given: Any, form: Any, width: int = WIDTH, *, logistic: bool = True) -> Any:
    raw = given if isinstance(given, bytes) else json.dumps(given).encode()
    return rows(decode(raw, form), 2, width, logistic=logistic)


@pytest.mark.parametrize("name", NOT_VECTORS)
def test_what_are_no_vectors(name: str) -> None:
    with pytest.raises(UpstreamLost) as caught:
        read(NOT_VECTORS[name], ToldVectors)
    assert caught.value.code == "upstream_invalid"


@pytest.mark.parametrize("name", NOT_SCORES)
def test_what_are_no_scores(name: str) -> None:
    with pytest.raises(UpstreamLost) as caught:
        read(NOT_SCORES[name], ToldScores)
    assert caught.value.code == "upstream_invalid"


def test_vectors_have_length_1_and_scores_are_as_ours() -> None:
    packed = base64.b64encode(np.array([3, 4, 0, 0], "<f4").tobytes()).decode()
    found = read(data([3.0, 4.0, 0.0, 0.0], packed), ToldVectors)
    assert found.tolist() == [[0.6, 0.8, 0.0, 0.0]] * 2
    raw = read(scores(3.5, -6.0), ToldScores, logistic=False)
    assert raw.ravel().tolist() == [3.5, -6.0]
    shares = [1 / (1 + math.exp(-score)) for score in (3.5, -6.0)]
    assert read(scores(*shares), ToldScores).ravel() == pytest.approx([3.5, -6.0])
    ends = read(scores(1.0, 0.0), ToldScores).ravel()
    assert np.isfinite(ends).all() and ends[0] > 30 and ends[1] < -60


@pytest.mark.parametrize(("said", "believed"), [(9, 9), (1 << 31, 12), (None, 12), (70, 70)])
def test_a_count_is_believed_near_ours(said: int | None, believed: int) -> None:
    reply = PooledReply(KINDS["vllm"], texts("a", "b"), WIDTH, 12)
    found = {**data(GOOD, GOOD), "usage": {"prompt_tokens": said}}
    pieces = reply.read(decode(json.dumps(found).encode(), ToldVectors), {})
    assert pieces[-1].prompt == believed and reply.doubted == (said == 1 << 31)


async def test_an_answer_that_is_none_is_an_error_with_its_hop(tmp_path: Path) -> None:
    async with served(tmp_path / "d") as (engine, services):
        engine.reply = lambda request: data(GOOD)
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), texts("a", "b"))
        assert caught.value.code == "upstream_invalid"
        *_, sent, failed = all_hops(services)
        assert (sent["event"], failed["event"], failed["code"]) == (
            "sent", "failed", "upstream_invalid",
        )  # fmt: skip
        (outcome,) = entries(services, "outcome")
        assert (outcome["status"], outcome["finish"]) == ("error", "upstream_invalid")


async def test_more_bytes_than_an_answer_may_have(tmp_path: Path) -> None:
    async with served(tmp_path / "d", answer_kib=16) as (engine, services):
        engine.reply = lambda request: {**data(GOOD), "pad": "x" * (20 << 10)}
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), texts("a"))
        assert caught.value.code == "upstream_invalid"


async def test_many_vectors_may_have_the_bytes_that_they_need(tmp_path: Path) -> None:
    async with served(tmp_path / "d", answer_kib=16) as (_, services):
        asked = texts(*map(str, range(400)))
        assert len(json.dumps(told(Request("", {}, {"input": asked.texts})))) > 16 << 10
        assert len(await answer(services, caller(), asked)) == 400


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("llama-server", "500 Oh", "input (2002 tokens) is too large to process. increase"),
        ("vllm", "400 Bad Request", "This model's maximum context length is 512 tokens."),
    ],
)
async def test_a_text_that_is_too_long_is_no_fault_of_the_host(
    tmp_path: Path, kind: str, status: str, words: str
) -> None:
    async with served(tmp_path / "d", kind=kind) as (engine, services):
        body = json.dumps({"error": {"code": 500, "message": words}})
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        whole = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        engine.reply = lambda request: whole
        for _ in range(4):
            with pytest.raises(ApplianceError) as caught:
                await answer(services, caller(), texts("a"))
            assert caught.value.code == "context_length_exceeded"
        host = services.upstreams.get(BIG).hosts[0]
        assert (host.state, host.health.problem) == ("ready", "")


async def test_a_host_that_says_nothing_is_asked_once_and_another_answers(tmp_path: Path) -> None:
    settings = {"does": "embed", "idle_seconds": 2}
    async with (
        Engine(reply=told).serve() as one,
        Engine(reply=told).serve() as two,
        ready(tmp_path / "d", config(one.url, two.url, **settings)) as services,
    ):
        engines = {engine.url: engine for engine in (one, two)}
        asked = texts("a", "b")
        await answer(services, caller(), asked)
        first = all_hops(services)[0]["host"]
        engines[first].reply = lambda request: NEVER
        pieces = await answer(services, caller(), asked)
        assert len(pieces) == 2 and pieces[-1].by is not None and pieces[-1].by.host != first
        events = [(hop["event"], hop.get("code")) for hop in all_hops(services)[2:]]
        assert events == [
            ("sent", None), ("failed", "upstream_timeout"), ("sent", None), ("answered", None),
        ]  # fmt: skip
        for engine in engines.values():
            engine.reply = lambda request: NEVER
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), asked)
        assert caught.value.code == "upstream_timeout"


async def test_a_client_that_goes_away_ends_the_request_there(tmp_path: Path) -> None:
    async with served(tmp_path / "d") as (engine, services):
        engine.reply = lambda request: NEVER
        generation = await services.inference.begin(caller(), texts("a"))
        await until(lambda: len(engine.requests) == 1)
        await generation.cancel()
        await generation.finished()
        assert [hop["event"] for hop in all_hops(services)] == ["sent", "cancelled"]
        (outcome,) = entries(services, "outcome")
        assert outcome["status"] == "cancelled" and services.shares.inside(BIG) == 0
        assert services.upstreams.get(BIG).hosts[0].state == "ready"


async def test_rights_are_those_of_any_request(tmp_path: Path) -> None:
    async with served(tmp_path / "d") as (engine, services):
        with pytest.raises(Forbidden) as caught:
            await answer(services, caller(content="off"), texts("secret"))
        assert caught.value.code == "upstream_retention" and not engine.requests


async def test_a_collection_may_have_such_a_model(tmp_path: Path) -> None:
    async with served(tmp_path / "d", keeps_content=False) as (_, services):
        wanted = CollectionNew.of(name="c", embedder=BIG)
        with client_of(services) as client:
            client.call(COLLECTION_NEW, wanted)
        settings = services.retrieval.library.get("c").collection.settings
        assert settings.embedder_digest == services.upstreams.get(BIG).identity
        found = await Embedder(services.inference, settings).passages(["a", "b"], "job")
        assert found == pytest.approx(np.array([vector("a"), vector("b")]), abs=1e-6)
        services.upstreams.get(BIG).config = replace(
            services.upstreams.get(BIG).config, keeps_content=True
        )
        again = CollectionNew.of(name="d", embedder=BIG)
        with client_of(services) as client, pytest.raises(ApplianceError) as caught:
            client.call(COLLECTION_NEW, again)
        assert caught.value.code == "collection_invalid" and "may keep texts" in str(caught.value)
        with pytest.raises(Forbidden):
            await Embedder(services.inference, settings).passages(["a"], "job")


@pytest.mark.parametrize("does", ["embed", "rerank"])
async def test_other_weights_trip_and_another_length_does_at_once(
    tmp_path: Path, does: str
) -> None:
    async with served(tmp_path / "d", does) as (engine, services):
        upstream = services.upstreams.get(BIG)
        (host,) = upstream.hosts
        await services.upstreams.probe("uid:0", BIG)
        assert host.state == "ready"

        def other(request: Request) -> Any:
            found = told(request)
            for one in found.get("data", []):
                one["embedding"] = [*vector("zz")[:3], 2.0]
            for one in found.get("results", []):
                one["relevance_score"] *= 1.1
            return found

        engine.reply = other
        await services.upstreams.probe("uid:0", BIG)
        assert host.state == "tripped" and "a value is" in host.why
        engine.reply = told
        await services.upstreams.probe("uid:0", BIG)
        assert host.state == "ready"
        if does == "embed":
            engine.reply = lambda request: data([*GOOD, 0.1])
            await services.upstreams.probe("uid:0", BIG)
            assert host.state == "tripped" and host.why == "its vectors have another length"


async def test_what_people_approve_says_what_the_model_is_for(tmp_path: Path) -> None:
    async with served(tmp_path / "d") as (_, services):
        record = services.upstreams.get(BIG).hosts[0].record
        assert record is not None and record.document()["does"] == "embed"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_does(kind: str, tmp_path: Path) -> None:
    table = f'[upstreams."x"]\nkind = "{kind}"\nurls = ["http://127.0.0.1:1"]\nmodel = "m"\n'
    assert parse_config(table + 'does = "rerank"\n').upstreams["x"].does == "rerank"


async def test_a_kind_that_makes_no_vectors_is_refused_as_it_is_configured(tmp_path: Path) -> None:
    async with Engine().serve() as engine:
        broken = config(engine.url, kind="ollama", does="embed")
        with pytest.raises(ApplianceError) as caught:
            async with ready(tmp_path / "d", broken):
                pass
        assert "does: an engine of the kind ollama does not" in caught.value.message
