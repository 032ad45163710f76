"""The tokenizer routes over HTTP, on the real model: vLLM's shapes, and every refusal."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from tests.smol import ID, SMALL, loaded, make_data

pytestmark = pytest.mark.asyncio(loop_scope="module")
TALK = [{"role": "user", "content": "Hi"}]


@dataclass
class App:
    http: httpx.AsyncClient
    services: Services

    async def post(self, path: str, **body: Any) -> Any:
        reply = await self.http.post(path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def refused(self, path: str, **body: Any) -> tuple[int, str, str]:
        headers = {"content-type": "application/json"}  # dumps can write half of a pair
        reply = await self.http.post(path, content=json.dumps(body), headers=headers)
        error = reply.json()["error"]
        return reply.status_code, error["code"], error["param"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Path:
    return make_data(tmp_path_factory.mktemp("tokenize"), shallow_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(data: Path) -> AsyncIterator[App]:
    with open_services(data, config=SMALL) as services:
        async with loaded(services):
            _, secret = services.keys.create("app")
            transport = httpx.ASGITransport(create_lan_app(services))
            headers = {"authorization": f"Bearer {secret}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://lan", headers=headers
            ) as http:
                yield App(http, services)


async def test_what_lm_eval_asks_is_answered_without_a_model_name(app: App) -> None:
    info = (await app.http.get("/tokenizer_info")).json()
    assert (info["model"], info["eos_token"]) == (ID, "<|im_end|>")
    assert "<|im_start|>" in info["chat_template"]
    told = await app.post("/tokenize", prompt="The sky is blue", add_special_tokens=False)
    assert told["count"] == len(told["tokens"]) == 4
    assert told["max_model_len"] == 512 and told["token_strs"] is None
    assert await app.post("/detokenize", tokens=told["tokens"]) == {"prompt": "The sky is blue"}
    end = await app.post("/tokenize", prompt=info["eos_token"], add_special_tokens=False)
    assert end["count"] == 1


async def test_a_conversation_is_counted_as_an_answer_counts_it(app: App) -> None:
    told = await app.post("/tokenize", model=ID, messages=TALK, return_token_strs=True)
    answer = await app.post("/v1/chat/completions", model=ID, messages=TALK, max_tokens=1)
    assert answer["usage"]["prompt_tokens"] == told["count"]
    assert "".join(told["token_strs"]).endswith("user\nHi<|im_end|>\n<|im_start|>assistant\n")
    tool = {"type": "function", "function": {"name": "close_valve", "parameters": {}}}
    with_tools = await app.post("/tokenize", messages=TALK, tools=[tool], return_token_strs=True)
    assert with_tools["count"] > told["count"]
    assert "close_valve" in "".join(with_tools["token_strs"])


async def test_a_tokenisation_is_counted_and_not_recorded(app: App) -> None:
    size = app.services.audit.size
    app.services.rejected.take(everything=True)  # what tests before this one asked
    await app.post("/tokenize", prompt="x")
    await app.post("/detokenize", tokens=[1])
    await app.http.get("/tokenizer_info")
    (count,) = app.services.rejected.take(everything=True)
    assert count.codes == {"tokens": 3}
    assert app.services.audit.size == size


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/tokenize", {}, (400, "invalid_value", "prompt")),
        ("/tokenize", {"prompt": "x", "messages": TALK}, (400, "invalid_value", "prompt")),
        ("/tokenize", {"prompt": "x", "tools": [{"type": "function", "function": {"name": "f"}}]},
         (400, "invalid_value", "prompt")),
        ("/tokenize", {"prompt": ["x"]}, (400, "invalid_value", "prompt")),
        ("/tokenize", {"prompt": "\ud800"}, (400, "invalid_value", "prompt")),
        ("/tokenize", {"messages": []}, (400, "invalid_value", "messages")),
        ("/tokenize", {"messages": TALK, "chat_template": "x"},
         (400, "unsupported_parameter", "chat_template")),
        ("/tokenize", {"messages": TALK, "add_generation_prompt": False},
         (400, "unsupported_parameter", "add_generation_prompt")),
        ("/tokenize", {"model": "other", "prompt": "x"}, (404, "model_not_found", "model")),
        ("/detokenize", {}, (400, "invalid_value", "tokens")),
        ("/detokenize", {"tokens": "x"}, (400, "invalid_value", "tokens")),
        ("/detokenize", {"tokens": [True]}, (400, "invalid_value", "tokens[0]")),
        ("/detokenize", {"tokens": [-1]}, (400, "invalid_value", "tokens[0]")),
        ("/detokenize", {"tokens": [10**6]}, (400, "invalid_value", "tokens")),
        ("/detokenize", {"tokens": [10**30]}, (400, "invalid_value", "tokens[0]")),
        ("/detokenize", {"model": "other", "tokens": [1]}, (404, "model_not_found", "model")),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_by_name(
    app: App, path: str, body: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    assert await app.refused(path, **body) == expected


async def test_a_text_beyond_the_limit_is_413(app: App) -> None:
    limit = app.services.config.engine.max_prepare_bytes
    refused = await app.refused("/tokenize", prompt="x" * (limit + 1))
    assert refused[:2] == (413, "request_too_large")
