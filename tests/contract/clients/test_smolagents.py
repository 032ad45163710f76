"""`smolagents`: a chat whole and streamed, a form, a demanded tool, both kinds of agents."""

import json
from typing import Any

from pydantic import BaseModel
from smolagents import ChatMessage, CodeAgent, MessageRole, OpenAIModel, ToolCallingAgent, tool


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


@tool  # type: ignore[untyped-decorator]
def pressure(valve: str) -> float:
    """The pressure at a valve, in bar.

    Args:
        valve: its name.
    """
    return 2.5


def model(server: Any) -> OpenAIModel:
    return OpenAIModel(
        server.model, api_base=server.base_url, api_key=server.api_key,
        client_kwargs={"max_retries": 0}, temperature=0, max_tokens=60,
    )  # fmt: skip


TALK = [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "V7 is open."}])]


def test_a_chat_whole_and_streamed_says_the_same(server: Any) -> None:
    whole = model(server).generate(TALK).content
    pieces = model(server).generate_stream(TALK)
    assert whole and "".join(piece.content or "" for piece in pieces) == whole


def test_an_answer_of_a_class(server: Any) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {"name": "valve", "schema": Valve.model_json_schema(), "strict": True},
    }
    answer = model(server).generate(TALK, response_format=form)
    Valve.model_validate_json(str(answer.content))


def test_a_tool_is_demanded_and_called(server: Any) -> None:
    answer = model(server).generate(TALK, tools_to_call_from=[pressure])
    assert answer.tool_calls
    first = answer.tool_calls[0].function
    arguments = first.arguments
    assert first.name == "pressure"
    assert "valve" in (json.loads(arguments) if isinstance(arguments, str) else arguments)


def test_an_agent_that_calls_tools_is_answered_at_each_step(server: Any) -> None:
    agent = ToolCallingAgent(tools=[pressure], model=model(server), max_steps=2, verbosity_level=0)
    agent.prompt_templates["system_prompt"] = "Call tools, then final_answer."
    agent.run("What is the pressure at V7?")
    assert told_by_the_server(agent) == []


def test_an_agent_that_writes_code_is_answered_at_each_step(server: Any) -> None:
    agent = CodeAgent(tools=[pressure], model=model(server), max_steps=1, verbosity_level=0)
    agent.prompt_templates["system_prompt"] = "Write Python between <code> and </code>."
    agent.run("What is the pressure at V7?")
    assert told_by_the_server(agent) == []


def told_by_the_server(agent: Any) -> list[str]:
    """Errors of the steps that came with an HTTP status; the model's own are not among them."""
    errors = (getattr(step, "error", None) for step in agent.memory.steps)
    return [str(error) for error in errors if error is not None and "Error code" in str(error)]
