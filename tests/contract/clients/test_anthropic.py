"""The unmodified `anthropic` package, and openai-agents by LiteLLM, against `/v1/messages`."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from agents import Agent, ModelSettings, Runner
from agents.extensions.models.litellm_model import LitellmModel
from anthropic import Anthropic

GREEDY = {"temperature": 0}  # the package has no name for it any more
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]
CITY: dict[str, Any] = {
    "type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"],
    "additionalProperties": False,
}  # fmt: skip
WEATHER: Any = {"name": "weather", "description": "The weather.", "input_schema": CITY}


@pytest.fixture
def client(server: Any) -> Iterator[Anthropic]:
    root = server.base_url.removesuffix("/v1")
    with Anthropic(base_url=root, api_key=server.api_key) as made:
        yield made


def short(server: Any, **fields: Any) -> Any:
    return {"model": server.model, "max_tokens": 8, "messages": HELLO, **fields}


def test_a_message_whole_and_streamed_says_the_same(server: Any, client: Anthropic) -> None:
    asked = short(server, extra_body=GREEDY)
    raw = client.messages.with_raw_response.create(**asked)
    whole = raw.parse()
    assert whole.type == "message" and whole.content[0].type == "text"
    assert raw.headers["x-appliance-receipt"].count(" ") == 2
    assert whole._request_id and whole._request_id == raw.headers["x-request-id"]
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == whole.content[0].text
    assert last.stop_reason == whole.stop_reason and last.content[0].type == "text"
    used = whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    assert used == client.messages.count_tokens(model=server.model, messages=HELLO).input_tokens


def test_a_demanded_call_its_result_and_deltas(server: Any, client: Anthropic) -> None:
    asked = short(server, max_tokens=60, extra_body=GREEDY, tools=[WEATHER])
    asked["tool_choice"] = {"type": "any"}
    whole = client.messages.create(**asked)
    assert whole.stop_reason == "tool_use"
    (call,) = whole.content
    assert call.type == "tool_use" and (call.name, call.input) == ("weather", {"city": "Oslo"})
    with client.messages.stream(**asked) as stream:
        (again,) = stream.get_final_message().content
    assert again.type == "tool_use" and again.input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "-3 degrees"}
    answered: Any = {"role": "assistant", "content": whole.content}
    messages = [*HELLO, answered, {"role": "user", "content": [result]}]
    told = client.messages.create(**short(server, messages=messages, tools=[WEATHER]))
    assert told.usage.output_tokens


def test_a_stop_sequence_is_told(server: Any, client: Anthropic) -> None:
    letters = list("abcdefghijklmnop")
    done = client.messages.create(
        **short(server, max_tokens=200, extra_body=GREEDY, stop_sequences=letters)
    )
    assert done.stop_reason == "stop_sequence" and done.stop_sequence in letters


def test_a_task_is_asked_as_a_model_is(server: Any, client: Anthropic) -> None:
    messages = [{"role": "user", "content": "The engine leaks oil."}]
    done = client.messages.create(**short(server, model=server.task, messages=messages))
    assert done.content[0].type == "text" and done.model_extra
    assert done.model_extra["x_appliance"]["task"] == server.task


def test_models_are_listed_and_found(server: Any, client: Anthropic) -> None:
    found = {one.id: one for one in client.models.list()}
    assert found[server.model].type == "model" and found[server.model].created_at
    assert client.models.retrieve(server.model).id == server.model


def test_errors_have_the_classes_of_the_package(server: Any, client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as absent:
        client.messages.create(**short(server, model="nothing"))
    assert absent.value.type == "not_found_error" and absent.value.request_id
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client.messages.create(**short(server, messages=[{"role": "user", "content": [image]}]))
    assert wrong.value.type == "invalid_request_error"
    body: Any = wrong.value.body
    assert body["error"]["details"]["error_code"] == "unsupported_parameter"
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()
    long = [{"role": "user", "content": "word " * 2_000}]
    with pytest.raises(anthropic.BadRequestError, match="maximum context length"):
        client.messages.create(**short(server, messages=long))


def test_a_stream_that_is_left_ends(server: Any, client: Anthropic) -> None:
    with client.messages.stream(**short(server, max_tokens=400)) as stream:
        next(iter(stream))
    assert client.messages.create(**short(server)).content


async def _told(model: LitellmModel) -> str:
    agent = Agent(
        name="host", instructions="Be brief.", model=model,
        model_settings=ModelSettings(max_tokens=12, temperature=0),
    )  # fmt: skip
    return str((await Runner.run(agent, "Say hello.")).final_output)


def test_an_agent_of_a_framework_that_speaks_this_api(server: Any) -> None:
    root = server.base_url.removesuffix("/v1")
    model = LitellmModel(f"anthropic/{server.model}", base_url=root, api_key=server.api_key)
    assert asyncio.run(_told(model))
