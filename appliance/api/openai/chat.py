"""`POST /v1/chat/completions`: the request, and the answer as a document or as events.

Rules: `developer` is the newer name of `system`, which is the one that chat templates know.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Choice, Format
from appliance.api.openai.generate import ALSO_STREAMED, answer
from appliance.api.openai.logprobs import chat_logprobs
from appliance.api.openai.requests import common_fields
from appliance.types import Delta, GenerationRequest
from appliance.wire.chat import ChatChoice, ChatCompletion, ChatRequest

router = APIRouter(tags=["generate"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=ALSO_STREAMED)
async def chat(request: Request, body: ChatRequest, caller: CallerDep) -> Answer:
    """Answer a conversation."""
    return answer(request, caller, body, chat_generation(body), ChatFormat)


def chat_generation(body: ChatRequest) -> GenerationRequest:
    """A conversation, to be rendered by the model's template."""
    messages = tuple(
        {"role": "system" if m.role == "developer" else m.role, "content": m.content}
        for m in body.messages
    )
    return GenerationRequest(messages=messages, **common_fields(body))


class _Delta(msgspec.Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None


class _ChatChoice(msgspec.Struct):
    delta: _Delta
    index: int
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class ChatFormat(Format):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    object = "chat.completion.chunk"

    def whole(self, choices: Sequence[Choice]) -> ChatCompletion:
        """The answer as one document."""
        written = [
            ChatChoice.model_validate(
                {
                    "index": index,
                    "message": {"content": choice.text},
                    "logprobs": chat_logprobs(choice.logprobs),
                    "finish_reason": choice.finish,
                }
            )
            for index, choice in enumerate(choices)
        ]
        return ChatCompletion(choices=written, usage=self.usage(), **self.head)

    def opening(self) -> bytes:
        """The deltas that name the role, one for each choice."""
        role = _Delta(role="assistant", content="")
        return b"".join(self.event([_ChatChoice(role, index)]) for index in range(self.choices))

    def piece(self, delta: Delta) -> bytes:
        """The chunk of one delta's text."""
        logprobs = chat_logprobs(delta.logprobs)
        return self.event([_ChatChoice(_Delta(content=delta.text), delta.index, logprobs)])

    def end(self, index: int, finish: str) -> bytes:
        """The chunk that says why a choice ended."""
        return self.event([_ChatChoice(_Delta(), index, finish_reason=finish)])
