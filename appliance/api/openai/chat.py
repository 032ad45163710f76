"""`POST /v1/chat/completions`: the request, and the answer as a document or as events.

Rules: `developer` is the newer name of `system`, which is the one that chat templates know.
"""

import msgspec
from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format
from appliance.api.openai.generate import ALSO_STREAMED, answer
from appliance.api.openai.requests import common_fields
from appliance.types import GenerationRequest
from appliance.wire.chat import AssistantMessage, ChatChoice, ChatCompletion, ChatRequest

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
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class ChatFormat(Format):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    object = "chat.completion.chunk"

    def whole(self, text: str, finish: str) -> ChatCompletion:
        """The answer as one document."""
        choice = ChatChoice(message=AssistantMessage(content=text), finish_reason=finish)
        return ChatCompletion(choices=[choice], usage=self.usage(), **self.head)

    def opening(self) -> bytes:
        """The delta that names the role."""
        return self.event([_ChatChoice(_Delta(role="assistant", content=""))])

    def piece(self, text: str, finish: str | None = None) -> bytes:
        """The chunk of one delta."""
        delta = _Delta() if finish else _Delta(content=text)
        return self.event([_ChatChoice(delta, finish_reason=finish)])
