"""The bytes of a message: one JSON document, or the typed events of this API.

Rules: the counts come with `message_start` and, complete, with `message_delta`; the receipt of the
outcome is a comment before that one, durable by then; a failure is the event `error`, which ends
the stream.

Source: Anthropic API reference, streaming messages.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from pydantic_core import PydanticCustomError

from appliance.api.errors import messages_error
from appliance.api.openai.annotations import CitedResult, cited_results
from appliance.api.openai.formats import Format, PartialChoice
from appliance.engine.text.reply import ParsedReply, Piece
from appliance.errors import ApplianceError
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta
from appliance.wire.anthropic.reply import MessageReply, MessageUsage
from appliance.wire.openai.tools import CalledFunction, ToolCall

_ENCODER: Final = msgspec.json.Encoder()


class _TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    text: str = ""
    citations: list[CitedResult] | msgspec.UnsetType = msgspec.UNSET


class _ThoughtBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str = ""
    signature: str = ""


class _CallBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: object


def failed_event(request_id: str, error: ApplianceError) -> bytes:
    """The event that ends a failed stream: the SDKs raise it."""
    told = messages_error(error, request_id).model_dump_json(exclude_unset=True)
    return f"event: error\ndata: {told}\n\n".encode()


class MessagesFormat(Format):
    """`/v1/messages`."""

    prefix = "msg"
    object = "message"

    def __init__(self, generation: ServedAnswer, request_id: str) -> None:
        super().__init__(generation, request_id, "last")
        self._request_id = request_id
        self._reply = ParsedReply(generation.form)
        self._blocks: list[_TextBlock | _ThoughtBlock | _CallBlock] = []
        self._open: str | None = None  # the kind of the last block while it grows
        self._spelled = ""  # the arguments of a call
        self._stop: tuple[str | None, str | None] = None, None

    def whole(self, choices: Sequence[PartialChoice]) -> MessageReply:
        self.piece(Delta(choices[0].text, 0))
        self.end(choices[0].last)
        return self._message()

    def opening(self) -> bytes:
        return _event("message_start", message=self._message().model_dump())

    def piece(self, delta: Delta) -> bytes:
        return b"".join(map(self._grow, self._reply.push(delta.text)))

    def end(self, last: Delta) -> bytes:
        events = b"".join(map(self._grow, self._reply.finish()))
        if not self._blocks:  # an answer without a word is a text all the same
            events += self._begin("content", "")
        self._stop = self._stopped(last)
        return events + self._close()

    def closing(self) -> bytes:
        receipt = b""
        if self._generation.outcome is not None:
            receipt = f": receipt {self._generation.outcome.header()}\n\n".encode()
        reason, sequence = self._stop
        about = self._generation.about
        more = {} if about is None else {"x_appliance": about.document()}
        ended = _event(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": sequence},
            usage=self._usage().model_dump(),
            **more,
        )
        return receipt + ended + _event("message_stop")

    def failing(self, error: ApplianceError) -> bytes:
        return failed_event(self._request_id, error)

    def _grow(self, piece: Piece) -> bytes:
        if piece.kind == "call":
            return self._close() + self._begin("call", piece.text)
        kind = "call" if piece.kind == "arguments" else piece.kind
        events = b""
        if self._open != kind:
            events = self._close() + self._begin(kind, "")
        block, text = self._blocks[-1], piece.text
        if isinstance(block, _TextBlock):
            block.text += text
            delta = {"type": "text_delta", "text": text}
        elif isinstance(block, _ThoughtBlock):
            block.thinking += text
            delta = {"type": "thinking_delta", "thinking": text}
        else:
            self._spelled += text
            delta = {"type": "input_json_delta", "partial_json": text}
        return events + self._about("content_block_delta", delta=delta)

    def _begin(self, kind: str, name: str) -> bytes:
        self._open, self._spelled = kind, ""
        if kind == "call":
            number = f"{self._request_id.removeprefix('req-')[:24]}_{len(self._blocks)}"
            self._blocks.append(_CallBlock(f"toolu_{number}", name, {}))
        else:
            self._blocks.append(_ThoughtBlock() if kind == "reasoning" else _TextBlock())
        return self._about("content_block_start", content_block=self._blocks[-1])

    def _close(self) -> bytes:
        """End the last block; the text of a call becomes its arguments."""
        if self._open is None:
            return b""
        block, self._open = self._blocks[-1], None
        events = b""
        if isinstance(block, _CallBlock):
            block.input = _arguments(block, self._spelled)
        elif isinstance(block, _TextBlock) and (cited := cited_results(self._generation)):
            block.citations = cited
            for one in cited:
                delta = {"type": "citations_delta", "citation": one}
                events += self._about("content_block_delta", delta=delta)
        return events + self._about("content_block_stop")

    def _stopped(self, last: Delta) -> tuple[str, str | None]:
        if last.finish_reason == "length":
            return "max_tokens", None
        if self._reply.calls:
            return "tool_use", None
        return ("stop_sequence", last.stopped) if last.stopped else ("end_turn", None)

    def _message(self) -> MessageReply:
        reason, sequence = self._stop
        fields = {"stop_reason": reason, "stop_sequence": sequence}
        return MessageReply.model_validate(
            {
                "id": self.head["id"].replace("-", "_", 1),
                "model": self.head["model"],
                "content": msgspec.to_builtins(self._blocks),
                "usage": self._usage(),
                **fields,
            }
        )

    def _usage(self) -> MessageUsage:
        counted = self.usage()
        cached = counted.prompt_tokens_details.cached_tokens
        return MessageUsage(
            input_tokens=counted.prompt_tokens - cached,
            cache_read_input_tokens=cached,
            output_tokens=counted.completion_tokens,
        )

    def _about(self, kind: str, **fields: Any) -> bytes:
        return _event(kind, index=len(self._blocks) - 1, **fields)


def _arguments(block: _CallBlock, spelled: str) -> object:
    """A call's object; if cut off, its beginning."""
    called = CalledFunction(name=block.name, arguments=spelled)
    with suppress(PydanticCustomError):
        return ToolCall(id=block.id, function=called).spoken()["function"]["arguments"]
    return {}


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _ENCODER.encode({"type": kind, **fields}) + b"\n\n"
