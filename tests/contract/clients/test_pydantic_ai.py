"""`pydantic-ai`: output by a demanded call and by a schema, beside functions, over both routes."""

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput, UsageLimits
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


KINDS = [OpenAIChatModel, OpenAIResponsesModel]


def model(server: Any, kind: Any) -> Any:
    return kind(
        server.model, provider=OpenAIProvider(base_url=server.base_url, api_key=server.api_key)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", [ToolOutput, NativeOutput])
def test_the_output_is_a_model_at_the_first_try(server: Any, kind: Any, output: Any) -> None:
    agent = Agent(
        model(server, kind),
        output_type=output(Valve),
        model_settings={"temperature": 0, "max_tokens": 80},
    )
    done = agent.run_sync("Valve V7 is open.", usage_limits=UsageLimits(request_limit=1))
    assert isinstance(done.output, Valve)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", [ToolOutput, NativeOutput])
def test_functions_beside_an_output_are_taken(server: Any, kind: Any, output: Any) -> None:
    asked: list[str] = []
    agent = Agent(
        model(server, kind),
        output_type=output(Valve),
        model_settings={"temperature": 0, "max_tokens": 80},
    )

    def pressure(valve: str) -> float:
        """The pressure at a valve, in bar."""
        asked.append(valve)
        return 2.5

    agent.tool_plain(pressure)
    try:
        done = agent.run_sync("Is valve V7 open?", usage_limits=UsageLimits(request_limit=2))
    except (UsageLimitExceeded, UnexpectedModelBehavior):
        assert asked  # an error of the server would be another exception
    else:
        assert isinstance(done.output, Valve)


async def _texts(agent: Agent[None, str]) -> list[str]:
    async with agent.run_stream("Say hello.") as streamed:
        return [text async for text in streamed.stream_text(delta=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_streamed(server: Any, kind: Any) -> None:
    import asyncio

    agent = Agent(model(server, kind), model_settings={"temperature": 0, "max_tokens": 12})
    assert "".join(asyncio.run(_texts(agent)))
