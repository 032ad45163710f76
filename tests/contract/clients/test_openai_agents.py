"""`openai-agents`: an output type, a demanded function and its result, over both routes."""

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.exceptions import MaxTurnsExceeded, ModelBehaviorError
from openai import AsyncOpenAI, NotFoundError
from pydantic import BaseModel

set_tracing_disabled(True)  # it would send to OpenAI
KINDS = [OpenAIChatCompletionsModel, OpenAIResponsesModel]
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 80}


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


def model(server: Any, kind: Any) -> Any:
    client = AsyncOpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0)
    return kind(model=server.model, openai_client=client)


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_of_its_type(server: Any, kind: Any) -> None:
    agent = Agent(
        name="reader", instructions="Read the report.", model=model(server, kind),
        output_type=Valve, model_settings=ModelSettings(**SHORT),
    )  # fmt: skip
    done = Runner.run_sync(agent, "Valve V7 is open.")
    assert isinstance(done.final_output, Valve)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choice", ["required", "pressure"])
def test_a_demanded_function_is_called_once_and_its_result_is_taken(
    server: Any, kind: Any, choice: str
) -> None:
    asked: list[str] = []

    def pressure(valve: str) -> float:
        """The pressure at a valve, in bar."""
        asked.append(valve)
        return 2.5

    settings = ModelSettings(tool_choice=choice, **SHORT)
    agent = Agent(
        name="operator",
        model=model(server, kind),
        tools=[function_tool(pressure)],
        model_settings=settings,
    )
    try:
        done = Runner.run_sync(agent, "What is the pressure at V7?", max_turns=2)
    except MaxTurnsExceeded:
        pass
    else:
        calls = [item for item in done.new_items if item.type == "tool_call_item"]
        assert len(calls) == 1
    assert asked


@pytest.mark.parametrize("kind", KINDS)
def test_functions_beside_an_output_type_are_taken(server: Any, kind: Any) -> None:
    def pressure(valve: str) -> float:
        """The pressure at a valve, in bar."""
        return 2.5

    agent = Agent(
        name="operator", model=model(server, kind), output_type=Valve,
        model_settings=ModelSettings(**SHORT), tools=[function_tool(pressure)],
    )  # fmt: skip
    try:
        done = Runner.run_sync(agent, "Is V7 open?", max_turns=2)
    except (MaxTurnsExceeded, ModelBehaviorError):  # an error of the server would be another one
        return
    assert isinstance(done.final_output, Valve)


@pytest.fixture
def host(server: Any) -> Agent:
    return Agent(
        name="host", model=model(server, OpenAIResponsesModel),
        model_settings=ModelSettings(temperature=0, max_tokens=4),
    )  # fmt: skip


@pytest.fixture
def stranger(server: Any) -> AsyncOpenAI:
    """With another key."""
    return AsyncOpenAI(base_url=server.base_url, api_key=server.other_key, max_retries=0)


def test_ten_turns_across_a_restart_by_response(
    server: Any, host: Agent, stranger: AsyncOpenAI
) -> None:
    previous, seen = None, []
    for turn in range(10):
        if turn == 5:
            server.restart()
        done = Runner.run_sync(host, f"Turn {turn}.", previous_response_id=previous)
        previous = done.last_response_id
        seen.append(done.context_wrapper.usage.input_tokens)
    assert previous and seen == sorted(seen) and len(set(seen)) == 10  # each reads all before
    other = host.clone(model=OpenAIResponsesModel(server.model, stranger))
    with pytest.raises(NotFoundError):
        Runner.run_sync(other, "And I?", previous_response_id=previous)


def test_a_session_of_ten_turns_across_a_restart(
    server: Any, host: Agent, stranger: AsyncOpenAI
) -> None:
    client = AsyncOpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0)
    session = OpenAIConversationsSession(openai_client=client)

    async def talk() -> list[int]:
        seen = []
        for turn in range(10):
            if turn == 5:
                server.restart()
            await Runner.run(host, f"Turn {turn}.", session=session)
            seen.append(len(await session.get_items()))
        other = OpenAIConversationsSession(
            conversation_id=session.session_id, openai_client=stranger
        )
        with pytest.raises(NotFoundError):
            await Runner.run(host, "And I?", session=other)
        assert await session.pop_item()
        seen.append(len(await session.get_items()))
        await session.clear_session()
        return seen

    assert asyncio.run(talk()) == [*range(2, 22, 2), 19]
