"""Embeddings with `openai`, LangChain and LlamaIndex: the same vectors, whichever asks."""

import math
from typing import Any

import pytest
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from openai import BadRequestError, OpenAI
from pydantic import SecretStr

TEXTS = ["The pump leaks.", "There is a leak at the pump.", "The contract ends in May."]
WIDTH = 384


def likeness(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def vectors(server: Any) -> list[list[float]]:
    """As `openai` gets them: in base64, which is its default."""
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        made = client.embeddings.create(model=server.embedder, input=TEXTS)
    assert made.usage.prompt_tokens > 10
    return [row.embedding for row in made.data]


def same(found: list[list[float]], vectors: list[list[float]]) -> None:
    assert [len(one) for one in found] == [WIDTH] * len(vectors)
    for number, one in enumerate(found):
        assert likeness(one, vectors[number]) > 0.9999
        assert likeness(one, vectors[number - 1]) < 0.999


def test_openai_in_base64_and_in_numbers(server: Any, vectors: list[list[float]]) -> None:
    assert likeness(vectors[0], vectors[1]) > likeness(vectors[0], vectors[2])
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        plain = client.embeddings.create(
            model=server.embedder, input=TEXTS, encoding_format="float", dimensions=WIDTH
        )
        same([row.embedding for row in plain.data], vectors)
        with pytest.raises(BadRequestError) as refused:
            client.embeddings.create(model=server.embedder, input=TEXTS, dimensions=16)
    assert refused.value.param == "dimensions"


def test_langchain_sends_texts_when_told_to(server: Any, vectors: list[list[float]]) -> None:
    given: dict[str, Any] = {
        "model": server.embedder,
        "base_url": server.base_url,
        "api_key": SecretStr(server.api_key),
    }
    asks = OpenAIEmbeddings(check_embedding_ctx_length=False, **given)
    same(asks.embed_documents(TEXTS), vectors)
    same([asks.embed_query(text) for text in TEXTS], vectors)


def test_token_ids_as_langchain_sends_them_by_default_are_refused_with_the_remedy(
    server: Any,
) -> None:
    with (
        OpenAI(base_url=server.base_url, api_key=server.api_key) as client,
        pytest.raises(BadRequestError, match="check_embedding_ctx_length=False"),
    ):
        client.embeddings.create(model=server.embedder, input=[[1, 2, 3]])


def test_llama_index(server: Any, vectors: list[list[float]]) -> None:
    asks = OpenAILikeEmbedding(
        model_name=server.embedder, api_base=server.base_url, api_key=server.api_key
    )
    same(asks.get_text_embedding_batch(TEXTS), vectors)
    same([asks.get_query_embedding(text) for text in TEXTS], vectors)
