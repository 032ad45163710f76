"""`semantic-kernel`: a chat whole and streamed, a form, a demanded function, vectors."""

import asyncio
from typing import Annotated, Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
    OpenAITextEmbedding,
)
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function


class Valve(BaseModel):
    """The state of a valve."""

    name: str
    open: bool


class Plant:
    """What a model may ask."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @kernel_function(description="The pressure at a valve, in bar.")  # type: ignore[untyped-decorator]
    def pressure(self, valve: Annotated[str, "its name"]) -> float:
        """The pressure at a valve, in bar."""
        self.asked.append(valve)
        return 2.5


def client(server: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0)


def settings(**more: Any) -> OpenAIChatPromptExecutionSettings:
    return OpenAIChatPromptExecutionSettings(temperature=0, max_completion_tokens=60, **more)


def talk(text: str = "Valve V7 is open.") -> ChatHistory:
    history = ChatHistory(system_message="You answer in one sentence.")
    history.add_user_message(text)
    return history


def test_a_chat_whole_and_streamed_says_the_same(server: Any) -> None:
    async def asked() -> tuple[str, str]:
        chat = OpenAIChatCompletion(ai_model_id=server.model, async_client=client(server))
        whole = await chat.get_chat_message_content(talk(), settings())
        pieces = [
            str(piece)
            async for piece in chat.get_streaming_chat_message_content(talk(), settings())
            if piece
        ]
        return str(whole), "".join(pieces)

    whole, streamed = asyncio.run(asked())
    assert whole and whole == streamed


def test_an_answer_of_a_class(server: Any) -> None:
    async def asked() -> str:
        chat = OpenAIChatCompletion(ai_model_id=server.model, async_client=client(server))
        return str(await chat.get_chat_message_content(talk(), settings(response_format=Valve)))

    Valve.model_validate_json(asyncio.run(asked()))


def test_a_demanded_function_is_run_and_its_result_is_taken(server: Any) -> None:
    plant = Plant()

    async def asked() -> str:
        kernel = Kernel()
        chat = OpenAIChatCompletion(ai_model_id=server.model, async_client=client(server))
        kernel.add_service(chat)
        kernel.add_plugin(plant, "plant")
        demanded = FunctionChoiceBehavior.Required(auto_invoke=True)
        answer = await chat.get_chat_message_content(
            talk("What is the pressure at V7?"),
            settings(function_choice_behavior=demanded, parallel_tool_calls=False),
            kernel=kernel,
        )
        return str(answer)

    asyncio.run(asked())
    assert plant.asked


def test_a_vector(server: Any) -> None:
    embedding = OpenAITextEmbedding(ai_model_id=server.embedder, async_client=client(server))
    (row,) = asyncio.run(embedding.generate_embeddings(["Which ring must be replaced?"]))
    assert len(row) == 384
