"""`POST /v1/chat/completions`: the request, and the answer as a document or as events.

Rules: `developer` is the newer name of `system`, the one that chat templates know; a stream names a
call's index in every delta, its id and function in the first; a choice with a complete call ends
with `tool_calls`, one that was cut off with `length`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep
from appliance.api.described import STREAMED
from appliance.api.json_body import JsonRoute, computed
from appliance.api.openai.annotations import citations_of
from appliance.api.openai.answer import Answer
from appliance.api.openai.formats import Format, PartialChoice
from appliance.api.openai.generate import answer
from appliance.api.openai.logprobs import chat_logprobs
from appliance.api.openai.requests import common_fields
from appliance.engine.text.reply import ParsedReply, Piece, collected
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta, GenerationRequest
from appliance.wire.openai.chat import (
    Annotation,
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatRequest,
)
from appliance.wire.openai.generation import StreamUsage
from appliance.wire.openai.tools import CalledFunction, ToolCall

router = APIRouter(tags=["generate"], route_class=JsonRoute)


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def chat(request: Request, body: ChatRequest, caller: CallerDep) -> Answer:
    """Answer a conversation."""
    asked = await computed(request, chat_generation, body)
    return answer(request, caller, body, [asked], ChatFormat)


def chat_generation(body: ChatRequest) -> GenerationRequest:
    """A conversation, to be rendered by the model's template."""
    return GenerationRequest(
        messages=tuple(message.spoken() for message in body.messages),
        tools=body.offer,
        thinking=body.thinking,
        **common_fields(body),
    )


class _Called(msgspec.Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, omit_defaults=True):
    index: int
    function: _Called
    id: str | None = None
    type: str | None = None


class _Delta(msgspec.Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    refusal: msgspec.UnsetType | None = msgspec.UNSET
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    annotations: list[dict[str, Any]] | None = None


class _ChatChoice(msgspec.Struct):
    delta: _Delta
    index: int
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class ChatFormat(Format):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    object = "chat.completion.chunk"

    def __init__(self, generation: ServedAnswer, request_id: str, usage: StreamUsage) -> None:
        super().__init__(generation, request_id, usage)
        self._replies = [ParsedReply(generation.form) for _ in range(self.choices)]

    def whole(self, choices: Sequence[PartialChoice]) -> ChatCompletion:
        written = [
            ChatChoice.model_validate(
                {
                    "index": index,
                    "message": self._message(index, choice.text),
                    "logprobs": chat_logprobs(choice.logprobs),
                    "finish_reason": self._finish(index, choice.finish or ""),
                }
            )
            for index, choice in enumerate(choices)
        ]
        return ChatCompletion(choices=written, usage=self.usage(), **self.head)

    def _message(self, index: int, text: str) -> AssistantMessage:
        reply = self._replies[index]
        said = collected([*reply.push(text), *reply.finish()])
        calls = [
            ToolCall(id=self._call_id(index, number), function=CalledFunction.model_validate(call))
            for number, call in enumerate(said.calls)
        ]
        return AssistantMessage(
            content=None if calls and not said.content else said.content,
            reasoning_content=said.reasoning or None,
            tool_calls=calls or None,
            annotations=self._annotations(),
        )

    def _annotations(self) -> list[Annotation] | None:
        found = citations_of(self._generation)
        return None if found is None else [Annotation.model_validate(one) for one in found]

    def opening(self) -> bytes:
        role = _Delta(role="assistant", content="", refusal=None)
        return b"".join(self.event([_ChatChoice(role, index)]) for index in range(self.choices))

    def piece(self, delta: Delta) -> bytes:
        deltas = [self._delta(delta.index, p) for p in self._replies[delta.index].push(delta.text)]
        logprobs = chat_logprobs(delta.logprobs)
        if logprobs and not deltas:
            deltas = [_Delta(content="")]
        events = b""
        for shown in deltas:
            events += self.event([_ChatChoice(shown, delta.index, logprobs)])
            logprobs = None
        return events

    def end(self, last: Delta) -> bytes:
        index = last.index
        rest = [self._delta(index, piece) for piece in self._replies[index].finish()]
        events = b"".join(self.event([_ChatChoice(delta, index)]) for delta in rest)
        finish = self._finish(index, last.finish_reason or "")
        ended = _Delta(annotations=citations_of(self._generation))
        return events + self.event([_ChatChoice(ended, index, finish_reason=finish)], last=True)

    def _delta(self, index: int, piece: Piece) -> _Delta:
        if piece.kind == "content":
            return _Delta(content=piece.text)
        if piece.kind == "reasoning":
            return _Delta(reasoning_content=piece.text)
        if piece.kind == "arguments":
            return _Delta(tool_calls=[_Call(piece.call, _Called(arguments=piece.text))])
        call_id = self._call_id(index, piece.call)
        called = _Called(name=piece.text, arguments="")
        return _Delta(tool_calls=[_Call(piece.call, called, id=call_id, type="function")])

    def _finish(self, index: int, finish: str) -> str:
        return "tool_calls" if finish == "stop" and self._replies[index].calls else finish

    def _call_id(self, index: int, number: int) -> str:
        """At most 40 characters, as OpenAI's own ids may have."""
        return f"call_{self.head['id'].removeprefix(self.prefix)[1:25]}_{index}_{number}"
