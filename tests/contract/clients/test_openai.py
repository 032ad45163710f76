"""The `openai` package of this environment: a recursive model, and a call that is demanded."""

from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from pydantic import BaseModel


class Part(BaseModel):
    """A part and what it is made of."""

    name: str
    parts: list["Part"]


def test_parse_fills_a_recursive_model(server: Any) -> None:
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        answer = client.chat.completions.parse(
            model=server.model,
            messages=[{"role": "user", "content": "Name a pump and one of its parts."}],
            response_format=Part,
            temperature=0,
            max_tokens=200,
            extra_body={"repetition_penalty": 1.3},
        )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Part)


def test_a_demanded_call_and_its_result_in_the_history(server: Any) -> None:
    city: dict[str, Any] = {"properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]}
    city |= {"type": "object", "additionalProperties": False}
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": city}}
    messages: list[Any] = [{"role": "user", "content": "Is it cold in Oslo?"}]
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        asked = client.chat.completions.create(
            model=server.model, messages=messages, tools=[tool], tool_choice="required",
            parallel_tool_calls=False, max_tokens=60, temperature=0,
        ).choices[0].message  # fmt: skip
        assert asked.tool_calls
        (call,) = asked.tool_calls
        assert call.type == "function" and call.function.name == "weather"
        messages += [asked, {"role": "tool", "tool_call_id": call.id, "content": "-3 degrees"}]
        told = client.chat.completions.create(
            model=server.model, messages=messages, tools=[tool], max_tokens=8, temperature=0
        )
    assert told.usage and told.usage.prompt_tokens > 20


def test_a_response(server: Any) -> None:
    client = OpenAI(base_url=server.base_url, api_key=server.api_key)
    ask = client.responses.stream(model=server.model, input="Say hello.", max_output_tokens=8)
    with client, ask as stream:
        first, *_, last = list(stream)
    assert first.type == "response.created"
    # The helper knows an answer that was cut off by its last event only.
    assert last.type == "response.incomplete" or last.type == "response.completed"
    assert last.response.output_text


def test_a_response_is_kept_continued_and_removed(server: Any) -> None:
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        short: Any = {"model": server.model, "max_output_tokens": 8, "temperature": 0}
        first = client.responses.create(input="Say hello.", **short)
        assert client.responses.retrieve(first.id).output_text == first.output_text
        second = client.responses.create(input="And again.", previous_response_id=first.id, **short)
        items = client.responses.input_items.list(second.id).data
        assert [item.type for item in items] == ["message"] * 3
        counted = client.responses.input_tokens.count(model=server.model, input="Say hello.")
        assert first.usage and counted.input_tokens == first.usage.input_tokens
        client.responses.delete(second.id)
        begun = client.responses.create(input="Say hello.", background=True, **short)
        assert begun.status == "queued" and begun.background
        while (done := client.responses.retrieve(begun.id)).status in ("queued", "in_progress"):
            pass
        assert done.status in ("completed", "incomplete") and done.output_text
        assert client.responses.cancel(begun.id).output_text == done.output_text
        with pytest.raises(NotFoundError):
            client.responses.retrieve(second.id)


def test_a_conversation_is_kept_and_continued(server: Any) -> None:
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        short: Any = {"model": server.model, "max_output_tokens": 8, "temperature": 0}
        first: Any = {"type": "message", "role": "developer", "content": "Be brief."}
        talk = client.conversations.create(items=[first], metadata={"topic": "valves"})
        for turn in range(2):
            answer = client.responses.create(input=f"Turn {turn}.", conversation=talk.id, **short)
            assert answer.conversation and answer.conversation.id == talk.id
        items = list(client.conversations.items.list(talk.id, order="asc", limit=2))
        assert [item.type for item in items] == ["message"] * 5
        client.conversations.items.delete(str(items[0].id), conversation_id=talk.id)
        assert len(list(client.conversations.items.list(talk.id))) == 4
        changed = client.conversations.update(talk.id, metadata={"topic": "pumps"})
        assert client.conversations.retrieve(talk.id).metadata == changed.metadata
        client.conversations.delete(talk.id)
        with pytest.raises(NotFoundError):
            client.conversations.retrieve(talk.id)
