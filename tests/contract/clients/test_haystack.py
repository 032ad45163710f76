"""`haystack-ai`: a chat whole and streamed, a form, demanded functions, an agent, vectors."""

import json
from typing import Any

import openai
import pytest
from haystack.components.agents import Agent
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from pydantic import BaseModel

TALK = [ChatMessage.from_user("Valve V7 is open.")]


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


def chat(server: Any, **settings: Any) -> OpenAIChatGenerator:
    streaming = settings.pop("streaming_callback", None)
    return OpenAIChatGenerator(
        Secret.from_token(server.api_key),
        server.model,
        streaming_callback=streaming,
        api_base_url=server.base_url,
        generation_kwargs={"temperature": 0, "max_completion_tokens": 60, **settings},
        max_retries=0,
    )


def pressure(valve: str) -> str:
    """The pressure at a valve, in bar."""
    return f"{valve} has 2.5 bar"


def test_a_chat_whole_and_streamed_says_the_same(server: Any) -> None:
    (whole,) = chat(server).run(TALK)["replies"]
    pieces: list[str] = []
    (streamed,) = chat(server, streaming_callback=lambda c: pieces.append(c.content)).run(TALK)[
        "replies"
    ]
    assert whole.text and whole.text == streamed.text == "".join(pieces)
    assert whole.meta["usage"]["completion_tokens"] > 0


def test_an_answer_of_a_class(server: Any) -> None:
    (reply,) = chat(server, response_format=Valve).run(TALK)["replies"]
    Valve.model_validate_json(reply.text)


def test_a_demanded_function_is_called(server: Any) -> None:
    tools = [create_tool_from_function(pressure)]
    (reply,) = chat(server, tool_choice="required", parallel_tool_calls=False).run(
        TALK, tools=tools
    )["replies"]
    (call,) = reply.tool_calls
    assert call.tool_name == "pressure" and set(call.arguments) >= {"valve"}
    assert json.dumps(call.arguments)


def test_an_agent_runs_a_function_and_tells_its_result(server: Any) -> None:
    agent = Agent(
        chat_generator=chat(server),
        tools=[create_tool_from_function(pressure)],
        system_prompt="You answer from tools.",
        max_agent_steps=2,
    )
    assert agent.run(messages=[ChatMessage.from_user("What is the pressure at V7?")])["messages"]


def test_a_vector(server: Any) -> None:
    embedder = OpenAITextEmbedder(
        Secret.from_token(server.api_key), server.embedder, api_base_url=server.base_url
    )
    assert len(embedder.run("Which ring must be replaced?")["embedding"]) == 384


def test_a_task_answers_and_what_it_sets_is_refused(server: Any) -> None:
    key = Secret.from_token(server.api_key)
    task = OpenAIChatGenerator(key, server.task, api_base_url=server.base_url, max_retries=0)
    (reply,) = task.run([ChatMessage.from_user("replace hose")])["replies"]
    assert reply.text in ("hydraulics", "engine")
    with pytest.raises(openai.BadRequestError, match="tools is the task's"):
        task.run(
            [ChatMessage.from_user("replace hose")], tools=[create_tool_from_function(pressure)]
        )
