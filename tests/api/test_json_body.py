"""Bodies that could be read in two ways, or hold what is no text: refused, naming the place."""

import copy
import gc
import json
import platform
import threading
import weakref
from typing import Any

import pytest
from pydantic import BaseModel

from appliance.api import large_bodies
from appliance.api.anthropic import messages
from appliance.api.errors import place_name
from appliance.api.json_body import parsed, parsed_at_once
from appliance.api.large_bodies import SMALL
from appliance.api.openai import chat, responses
from appliance.errors import BadRequest
from appliance.wire.openai.characters import JsonPath, half_pair
from appliance.wire.openai.chat import ChatRequest
from tests.api.conftest import Lan
from tests.wire.test_any_json import BODIES, places

ADDRESSES = {
    "ChatRequest": "/v1/chat/completions", "CompletionRequest": "/v1/completions",
    "ResponsesRequest": "/v1/responses", "EmbeddingRequest": "/v1/embeddings",
    "RerankRequest": "/v1/rerank", "ClassifyRequest": "/v1/classify",
    "TokenizeRequest": "/tokenize",
    "DetokenizeRequest": "/detokenize", "SearchRequest": "/v1/search",
}  # fmt: skip
JSON = {"content-type": "application/json"}


def at(body: Any, path: JsonPath) -> Any:
    for key in path:
        body = body[key]
    return body


async def error_of(lan: Lan, address: str, text: str | bytes) -> dict[str, Any]:
    reply = await lan.client.post(address, content=text, headers=JSON)
    assert reply.status_code == 400, reply.text
    error: dict[str, Any] = reply.json()["error"]
    return error


@pytest.mark.parametrize(("model", "body"), BODIES, ids=lambda m: getattr(m, "__name__", ""))
async def test_half_a_pair_is_refused_wherever_it_stands(
    lan: Lan, model: type[BaseModel], body: dict[str, Any]
) -> None:
    address = ADDRESSES[model.__name__]
    body = json.loads(json.dumps(body))  # in which no list stands at two places
    for path in places(body):
        changed = copy.deepcopy(body)
        at(changed, path[:-1])[path[-1]] = "a\ud83d"
        error = await error_of(lan, address, json.dumps(changed))
        assert (error["code"], error["param"]) == ("invalid_value", place_name(path))
        if isinstance(at(body, path), dict):
            changed = copy.deepcopy(body)
            at(changed, path)["\udc00"] = 1
            error = await error_of(lan, address, json.dumps(changed))
            assert (error["code"], error["param"]) == ("invalid_value", place_name(path))


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("messages", [{"role": "assistant", "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": '{"a": "\\ud800"}'}}]}],
         "messages[0].tool_calls"),
        ("guided_json", '{"const": "\\udfff"}', "guided_json"),
    ],
)  # fmt: skip
async def test_nor_in_json_inside_a_text(lan: Lan, field: str, value: Any, param: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], field: value}
    error = await error_of(lan, "/v1/chat/completions", json.dumps(body))
    assert (error["code"], error["param"]) == ("invalid_value", param)


@pytest.mark.parametrize("part", ["solve_dependencies", "AsyncExitStack"])
async def test_an_answer_needs_nothing_of_the_frameworks_routes(
    lan: Lan, chat_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def never(**_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(f"fastapi.routing.{part}", never)
    for path, body in (
        ("/v1/chat/completions", chat_body),
        ("/v1/completions", {"model": chat_body["model"], "prompt": "Hi"}),
        ("/v1/messages", {**chat_body, "max_tokens": 3}),
        ("/v1/responses", {"model": chat_body["model"], "input": "Hi"}),
    ):
        reply = await lan.client.post(path, json=body)
        assert reply.status_code == 200, reply.text
    assert (await lan.client.get("/v1/models")).status_code == 500  # the control


def test_whole_pairs_are_characters() -> None:
    assert parsed(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    assert half_pair({"a": ["b", {"c": "\U0001f600"}]}) is None
    assert half_pair({"a": ["b", {"c": "\ud83d"}]}) == ("a", 1, "c")
    assert half_pair("\ud83d") == ()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"model": "a", "model": "b"}', "model"),
        ('{"model": "a", "messages": [{"role": "user", "role": "system"}]}', "role"),
        ('{"a": {"b": 1, "c": 2, "b": 1}}', "b"),
        ('{"m\\u006fdel": "a", "model": "b"}', "model"),
    ],
)
async def test_a_key_that_stands_twice_is_refused_by_name(lan: Lan, text: str, key: str) -> None:
    for address in ADDRESSES.values():
        error = await error_of(lan, address, text)
        assert (error["code"], error["param"]) == ("invalid_json", key)


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"[1", b'"\xff"', b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"), b"[" * 100_000,
     b"1" * 5000],
)  # fmt: skip
def test_what_is_no_json_in_utf_8(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(body)
    assert caught.value.code == "invalid_json"


def test_a_byte_order_mark_is_read_over() -> None:
    assert parsed(b"\xef\xbb\xbf{}") == {}


def test_a_large_body_is_read_without_the_collector_which_is_on_again_afterwards() -> None:
    body = b"[" + b",".join([b"[]"] * 50_000) + b"]"
    runs: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        runs.append(phase)

    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # as a server has it
    gc.callbacks.append(note)
    try:
        parsed(body)
        often = len(runs)
        runs.clear()
        value = parsed_at_once(body)
        once = len(runs)
        young = len(gc.get_objects(generation=0)) + len(gc.get_objects(generation=1))
        assert len(value) == 50_000 and young < 10_000
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*before)
    if platform.python_version().startswith("3.11."):  # later ones look between steps of Python
        assert often > 20  # the control: lists wake it
    assert once <= 2 and gc.isenabled()  # its beginning and its end, when it is on again
    with pytest.raises(BadRequest):
        parsed_at_once(body[:-1])
    assert gc.isenabled()
    gc.disable()  # as while another body is read
    try:
        assert parsed_at_once(b"[]") == []
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_a_large_body_is_read_like_a_small_one(lan: Lan, chat_body: dict[str, Any]) -> None:
    chat_body["messages"] = [{"role": "user", "content": "x" * 2 * SMALL}]
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    assert reply.status_code == 200, reply.text
    chat_body["messages"] = [{"role": "user", "content": "x"}] * SMALL
    assert len(json.dumps(chat_body)) > SMALL
    cut = json.dumps(chat_body)[: 2 * SMALL]
    assert (await error_of(lan, "/v1/chat/completions", cut))["code"] == "invalid_json"


@pytest.mark.parametrize(
    ("path", "owner", "name"),
    [
        ("/v1/chat/completions", ChatRequest, "model_validate"),
        ("/v1/chat/completions", chat, "chat_generation"),
        ("/v1/messages", messages, "message_generation"),
        ("/v1/responses", responses, "response_generation"),
    ],
)
async def test_a_large_body_is_checked_and_made_a_request_outside_of_the_loop(
    lan: Lan,
    chat_body: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    owner: Any,
    name: str,
) -> None:
    threads = []
    make = getattr(owner, name)

    def noted(*values: Any) -> Any:
        threads.append(threading.current_thread())
        return make(*values)

    monkeypatch.setattr(owner, name, noted)
    for size in (1, 2 * SMALL):
        said = [{"role": "user", "content": "x" * size}]
        talk = {"input": said} if owner is responses else {"messages": said, "max_tokens": 3}
        reply = await lan.client.post(path, json={"model": chat_body["model"], **talk})
        assert reply.status_code == 200, reply.text
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_a_large_body_of_very_many_values_is_refused_unread(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_bodies, "MOST_VALUES", 1_000)
    cut = b'{"model": "m", "messages": [' + b"{}," * 999 + b" " * SMALL
    reply = await lan.client.post("/v1/chat/completions", content=cut, headers=JSON)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    fewer = cut.replace(b"{},", b"", 1)  # the control: it is read
    assert (await error_of(lan, "/v1/chat/completions", fewer))["code"] == "invalid_json"


async def test_a_fault_of_ours_in_reading_is_not_called_the_bodys(
    lan: Lan, chat_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(lan.app.state, "large_bodies")
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")


def test_garbage_that_grew_old_with_a_large_body_is_collected() -> None:
    class Ring:
        def __init__(self) -> None:
            self.own = self

    gc.disable()  # it would come by itself
    made = weakref.ref(Ring())
    assert parsed_at_once(b"[]") == [] and made() is not None  # the control
    gc.enable()
    parsed_at_once(b"[]")
    assert made() is None
