"""`langchain` agents: an answer by a demanded call, by a schema beside functions; results."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from openai import BadRequestError
from pydantic import BaseModel, SecretStr


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


def pressure(valve: str) -> float:
    """The pressure at a valve, in bar."""
    return 2.5


PRESSURE = tool(pressure)


def chat(server: Any, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=server.model, base_url=server.base_url, api_key=SecretStr(server.api_key),
        temperature=0, max_tokens=80, max_retries=0, **fields,
    )  # fmt: skip


ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Valve V7 is open."}]}


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
@pytest.mark.parametrize("responses", [False, True])
def test_the_answer_is_structured(server: Any, strategy: Any, responses: bool) -> None:
    model = chat(server, use_responses_api=responses)
    agent = create_agent(model, tools=[], response_format=strategy(Valve))
    done = agent.invoke(ASKED, {"recursion_limit": 4})
    assert isinstance(done["structured_response"], Valve)
    calls = [call for message in done["messages"] for call in getattr(message, "tool_calls", ())]
    assert len(calls) <= 1


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_functions_beside_a_structured_answer_are_taken(server: Any, strategy: Any) -> None:
    agent = create_agent(chat(server), tools=[PRESSURE], response_format=strategy(Valve))
    try:
        done = agent.invoke(ASKED, {"recursion_limit": 4})
    except GraphRecursionError:  # a model this small may call for ever
        return
    except BadRequestError as error:  # or until the conversation fills its context
        assert error.code == "context_length_exceeded"
        return
    assert done["messages"]


def test_a_demanded_function_is_called_once_and_its_result_goes_back(server: Any) -> None:
    model = chat(server)
    demanded = model.bind_tools([PRESSURE], tool_choice="pressure")
    first = demanded.invoke("What is the pressure at V7?")
    assert len(first.tool_calls) == 1
    result = PRESSURE.invoke(first.tool_calls[0])
    said = model.invoke([("user", "What is the pressure at V7?"), first, result])
    assert said.content
