"""Three models of three kinds behind one API, with real workers and the unmodified client."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import numpy as np
import openai
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from appliance.audit.search import Query
from tests import smol
from tests.minilm import MiniLm
from tests.system.conftest import Server
from tests.system.test_docs_snippets import ROOT, follow

SENTENCES = ["Replace the sealing ring of the cylinder.", "The contract ends in May."]


@pytest.fixture(scope="module")
def data(
    tmp_path_factory: pytest.TempPathFactory,
    narrow_path: Path,
    embedder_path: Path,
    reranker_path: Path,
) -> Path:
    root = tmp_path_factory.mktemp("pooling")
    made = smol.make_data(root, narrow_path)
    with open_services(made, config=smol.SMALL) as services:
        for name, path in (("minilm", embedder_path), ("ranker", reranker_path)):
            artifact = smol.signed_artifact(made, path, root / name)
            record = services.lifecycle.import_model("uid:0", artifact, None, smol.quiet)
            assert record.state == "verified", record.message
            smol.approve(services, name, *smol.APPROVERS)
            shutil.rmtree(artifact)
    return made


@pytest.fixture
def services(data: Path) -> Iterator[Services]:
    with open_services(data, config=smol.SMALL) as opened:
        yield opened


@pytest.fixture
async def client(services: Services) -> AsyncIterator[openai.AsyncOpenAI]:
    key, secret = services.keys.create("app")
    transport = httpx2.ASGITransport(create_lan_app(services))
    try:
        assert await services.pool.autoload() == []
        async with httpx2.AsyncClient(transport=transport) as http:
            yield openai.AsyncOpenAI(base_url="http://lan/v1", api_key=secret, http_client=http)
    finally:
        await services.inference.drain(30)
        await services.supervisor.close()
        services.keys.revoke(key.id)


def entries(services: Services, kind: str) -> list[dict[str, Any]]:
    found = services.reader.search(Query(kind=kind, limit=1000)).entries
    return [dict(entry.body) for entry in sorted(found, key=lambda entry: entry.seq)]


async def refusal(call: Any) -> tuple[int, str | None, str | None]:
    with pytest.raises(openai.APIStatusError) as caught:
        await call
    return caught.value.status_code, caught.value.code, caught.value.param


async def test_each_kind_does_its_work_and_no_other(
    client: openai.AsyncOpenAI, services: Services
) -> None:
    models = {m.id: m.model_dump()["meta"] async for m in client.models.list()}
    assert {name: meta["kind"] for name, meta in models.items()} == {
        smol.ID: "generate",
        "minilm": "embed",
        "ranker": "rerank",
    }
    assert models["minilm"]["dimensions"] == 384
    assert {s.model: (s.kind, s.n_ctx) for s in services.supervisor.status()} == {
        smol.ID: ("generate", 512),
        "minilm": ("embed", 512),
        "ranker": ("rerank", 512),
    }

    # openai-python asks for base64 by default and gives back numbers.
    made = await client.embeddings.create(model="minilm", input=SENTENCES)
    published = MiniLm.fetched()
    for sentence, row in zip(SENTENCES, made.data, strict=True):
        assert np.array(row.embedding) @ published.embedding(sentence) >= 0.9999
    plain = await client.embeddings.create(
        model="minilm", input=SENTENCES, encoding_format="float", dimensions=384
    )
    assert [r.embedding for r in plain.data] == [r.embedding for r in made.data]
    assert made.usage.prompt_tokens == made.usage.total_tokens > 10

    query = "Which ring must be replaced?"
    ranked = await client.post(
        "/rerank",
        cast_to=object,
        body={"model": "ranker", "query": query, "documents": SENTENCES, "return_documents": True},
    )
    results = dict(ranked)["results"]  # type: ignore[call-overload]
    assert [r["document"]["text"] for r in results] == SENTENCES
    assert results[0]["relevance_score"] > 0.9

    chat: Any = {"messages": [{"role": "user", "content": "Hi"}]}
    wrong = (400, "wrong_model_kind", "model")
    assert await refusal(client.chat.completions.create(model="minilm", **chat)) == wrong
    assert await refusal(client.completions.create(model="ranker", prompt="x")) == wrong
    assert await refusal(client.embeddings.create(model=smol.ID, input="x")) == wrong
    assert await refusal(client.embeddings.create(model="ranker", input="x")) == wrong
    body = {"model": "minilm", "query": "q", "documents": ["d"]}
    assert await refusal(client.post("/rerank", cast_to=object, body=body)) == wrong

    over = client.embeddings.create(model="minilm", input=["x", "word " * 600])
    assert await refusal(over) == (400, "context_length_exceeded", "input[1]")


async def test_intent_and_outcome_hold_the_texts_and_no_vector(
    client: openai.AsyncOpenAI, services: Services
) -> None:
    before = len(entries(services, "intent"))
    made = await client.embeddings.with_raw_response.create(model="minilm", input=SENTENCES)
    intent = entries(services, "intent")[before:][0]
    outcome = entries(services, "outcome")[-1]
    assert made.headers["x-appliance-receipt"].split()[0].isdecimal()
    assert (intent["model"], intent["route"]) == ("minilm", "/v1/embeddings")
    assert intent["params"] == {"kind": "embed", "texts": 2}
    assert intent["prompt_tokens"] == outcome["prompt_tokens"] > 10
    assert (outcome["status"], outcome["finish"], outcome["bytes"]) == ("ok", "stop", 0)
    asked = Query(kind="intent", request_id=str(intent["request_id"]))
    (entry,) = services.reader.search(asked).entries
    assert json.loads(services.reader.content(entry.seq, "prompt")) == SENTENCES


async def test_many_requests_share_batches_and_each_gets_its_own(
    client: openai.AsyncOpenAI, services: Services
) -> None:
    texts = [f"Item number {n} of the list." for n in range(40)]
    alone = await client.embeddings.create(model="minilm", input=texts)
    together = await asyncio.gather(
        *(client.embeddings.create(model="minilm", input=text) for text in texts)
    )
    for row, answer in zip(alone.data, together, strict=True):
        assert np.array(row.embedding) @ np.array(answer.data[0].embedding) > 0.9999
    # The control: another text's vector is further away.
    assert np.array(alone.data[0].embedding) @ np.array(together[1].data[0].embedding) < 0.9999


def test_the_examples_of_the_page_work(data: Path, tmp_path: Path) -> None:
    with open_services(data, config=smol.SMALL) as services:
        _, secret = services.keys.create("reader")
    server = Server(data, (secret, secret))
    server.start()
    try:
        variables = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": secret}
        made, ranked = follow(ROOT / "docs" / "embeddings.md", tmp_path, variables)
    finally:
        server.end(signal.SIGTERM)
    assert "2 vectors of 384 numbers" in made
    (best,) = json.loads(ranked)["results"]
    assert (best["index"], best["document"]["text"]) == (1, SENTENCES[0])


MODEL_OF = {"/v1/embeddings": "minilm", "/v1/rerank": "ranker"}
NOT_HERE = {  # this server has no TLS, no task with labels, no collection, and nothing that waits
    "/ca.pem": "not_found",
    "/v1/classify": "wrong_model_kind",
    "/v1/search": "collection_not_found",
    "/v1/collections/{collection}/passages/{passage_id}": "collection_not_found",
    "/v1/labels/{queue}": "label_queue_unknown",
    "/v1/queue/{item_id}": "queue_item_unknown",
    "/v1/queue/{item_id}/answer": "queue_item_unknown",
    "/v1/responses/resp_{name}/cancel": "invalid_value",
    "/v1/files/{file_id}": "file_not_found",
    "/v1/files/{file_id}/content": "file_not_found",
    "/v1/batches/{batch_id}": "batch_not_found",
    "/v1/batches/{batch_id}/cancel": "batch_not_found",
}


async def test_each_example_of_the_openapi_document_gets_the_answer_that_it_describes(
    client: openai.AsyncOpenAI,
) -> None:
    http, key = client._client, {"authorization": f"Bearer {client.api_key}"}
    document = (await http.get("http://lan/openapi.json")).json()
    asked = await http.post(
        "http://lan/v1/completions", headers=key,
        json={"model": smol.ID, "prompt": "Hello", "max_tokens": 1},
    )  # fmt: skip
    kept = await http.post(
        "http://lan/v1/responses", headers=key,
        json={"model": smol.ID, "input": "Hello", "max_output_tokens": 4},
    )  # fmt: skip
    names = {
        "model_id": smol.ID, "request_id": asked.headers["x-request-id"], "item_id": "none",
        "file_id": "file-none", "batch_id": "batch_none",
        "collection": "none", "passage_id": "p-none", "queue": "none",
        "name": kept.json()["id"].removeprefix("resp_"),
    }  # fmt: skip
    item = {"role": "user", "content": "Hello"}
    held = await http.post("http://lan/v1/conversations", headers=key, json={"items": [item]})
    conversation = held.json()["id"]
    items = await http.get(f"http://lan/v1/conversations/{conversation}/items", headers=key)
    of_conversation = {"name": conversation, "item_id": items.json()["data"][0]["id"]}
    operations = 0
    found = [
        (path, *one)
        for path, item in document["paths"].items()
        for one in item.items()
        # A form, and what needs the file: tests/contract/test_openai_client.py sends both.
        if (path, one[0]) not in {("/v1/files", "post"), ("/v1/batches", "post")}
    ]
    found.sort(
        key=lambda one: (one[1] == "delete", -one[0].count("/") if one[1] == "delete" else 0)
    )
    for path, method, operation in found:
        body = example(document, operation)
        if body is not None:
            body |= {"model": MODEL_OF.get(path, smol.ID)} if "model" in body else {}
            body |= {k: 4 for k in ("max_tokens", "max_output_tokens") if k in body}
        own = of_conversation if path.startswith("/v1/conversations") else {}
        url = "http://lan" + path.format(**{**names, **own})
        query = {"model": smol.ID} if path == "/tokenizer_info" else {}
        reply = await http.request(method, url, headers=key, json=body, params=query)
        if path in NOT_HERE:
            assert reply.json()["error"]["code"] == NOT_HERE[path]
            continue
        assert reply.status_code == 200, (path, reply.text)
        described = operation["responses"]["200"]
        schema = described["content"]["application/json"]["schema"]
        jsonschema_rs.validate({**schema, "components": document["components"]}, reply.json())
        assert set(described.get("headers", {})) <= set(reply.headers)
        operations += 1
    assert operations == 36


def example(document: Any, operation: Any) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    described = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return dict(described["examples"][0])
