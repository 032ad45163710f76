"""The `openai` package of this environment: forms, calls, kept responses, files and batches."""

import json
from typing import Any

import pytest
from openai import ConflictError, NotFoundError, OpenAI
from pydantic import BaseModel

RUNS = ("validating", "in_progress", "finalizing")


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


def test_files(server: Any) -> None:
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        text = b'{"custom_id": "a"}\n'
        made = client.files.create(file=("lines.jsonl", text), purpose="batch")
        assert (made.filename, made.bytes) == ("lines.jsonl", len(text))
        assert made.id in [file.id for file in client.files.list(purpose="batch")]
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id).read() == text
        assert client.files.delete(made.id).deleted
        with pytest.raises(NotFoundError):
            client.files.retrieve(made.id)


def test_a_batch(server: Any) -> None:
    body = {
        "model": server.model, "max_tokens": 4,
        "messages": [{"role": "user", "content": "Say hello."}],
    }  # fmt: skip
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = [json.dumps({"custom_id": f"line {n}", **line}) for n in range(3)]
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        file = client.files.create(file="\n".join(lines).encode(), purpose="batch")
        begun = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while (batch := client.batches.retrieve(begun.id)).status in RUNS:
            pass
        assert batch.status == "completed" and batch.output_file_id and batch.request_counts
        assert (batch.request_counts.total, batch.request_counts.failed) == (3, 0)
        told = client.files.content(batch.output_file_id).text.splitlines()
        answers = [json.loads(answer) for answer in told]
        assert [answer["custom_id"] for answer in answers] == [f"line {n}" for n in range(3)]
        assert all(answer["response"]["status_code"] == 200 for answer in answers)
        assert begun.id in [one.id for one in client.batches.list()]
        with pytest.raises(ConflictError):
            client.batches.cancel(begun.id)


def test_a_wrong_batch_fails(server: Any) -> None:
    with OpenAI(base_url=server.base_url, api_key=server.api_key) as client:
        file = client.files.create(file=b'{"custom_id": "a"}\n', purpose="batch")
        begun = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while (batch := client.batches.retrieve(begun.id)).status in RUNS:
            pass
        assert batch.status == "failed" and batch.errors and batch.errors.data
