"""The bytes of a message: one JSON document, or the typed events of this API.

Rules: a block is told as it begins, in deltas, and as it ends; the counts come with
`message_start` and, complete, with `message_delta`; the receipt of the outcome is a comment before
that one, which is durable by then; what fails is the event `error`, which ends the stream.

Source: Anthropic API reference, streaming messages.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from pydantic_core import PydanticCustomError

from appliance.api.errors import messages_error
from appliance.api.openai.annotations import cited_results
from appliance.api.openai.formats import Format, PartialChoice
from appliance.engine.text.reply import ParsedReply, Piece
from appliance.errors import ApplianceError
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta
from appliance.wire.anthropic.reply import MessageReply, MessageUsage
from appliance.wire.openai.tools import CalledFunction, ToolCall

_ENCODER: Final = msgspec.json.Encoder()
_DELTAS: Final = {
    "content": ("text", "text_delta", "text"),
    "reasoning": ("thinking", "thinking_delta", "thinking"),
    "call": ("input", "input_json_delta", "partial_json"),
}
"""Of each kind of piece: the field of its block, the type of its delta, and the field of that."""


def failed_event(request_id: str, error: ApplianceError) -> bytes:
    """The event that ends a stream which failed: the SDKs raise it."""
    return _event("error", **messages_error(error, request_id))


class MessagesFormat(Format):
    """`/v1/messages`."""

    prefix = "msg"
    object = "message"

    def __init__(self, generation: ServedAnswer, request_id: str) -> None:
        super().__init__(generation, request_id, include_usage=True)
        self._request_id = request_id
        self._reply = ParsedReply(generation.form)
        self._blocks: list[dict[str, Any]] = []
        self._open: str | None = None  # the kind of the last block while it grows
        self._stop: tuple[str | None, str | None] = None, None

    def whole(self, choices: Sequence[PartialChoice]) -> MessageReply:
        """The answer as one document."""
        self.piece(Delta(choices[0].text, 0))
        self.end(choices[0].last)
        return self._message()

    def opening(self) -> bytes:
        """The message, empty."""
        return _event("message_start", message=self._message().model_dump())

    def piece(self, delta: Delta) -> bytes:
        """The events of one delta."""
        return b"".join(map(self._grow, self._reply.push(delta.text)))

    def end(self, last: Delta) -> bytes:
        """The rest of the text, and the end of the last block."""
        events = b"".join(map(self._grow, self._reply.finish()))
        if not self._blocks:  # an answer without a word is a text all the same
            events += self._begin("content", "")
        self._stop = self._stopped(last)
        return events + self._close()

    def closing(self) -> bytes:
        """The receipt, the reason and the counts, and the end."""
        receipt = b""
        if self._generation.outcome is not None:
            receipt = f": receipt {self._generation.outcome.header()}\n\n".encode()
        reason, sequence = self._stop
        more: dict[str, Any] = {}
        if self._generation.about is not None:
            more["x_appliance"] = self._generation.about.document()
        ended = _event(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": sequence},
            usage=self._usage().model_dump(),
            **more,
        )
        return receipt + ended + _event("message_stop")

    def failing(self, error: ApplianceError) -> bytes:
        """The event that ends a stream which failed after it began."""
        return failed_event(self._request_id, error)

    def _grow(self, piece: Piece) -> bytes:
        if piece.kind == "call":
            return self._close() + self._begin("call", piece.text)
        kind = "call" if piece.kind == "arguments" else piece.kind
        events = b""
        if self._open != kind:
            events = self._close() + self._begin(kind, "")
        field, name, told = _DELTAS[kind]
        self._blocks[-1][field] += piece.text
        return events + self._about("content_block_delta", delta={"type": name, told: piece.text})

    def _begin(self, kind: str, name: str) -> bytes:
        self._open = kind
        block: dict[str, Any] = {"type": "text", "text": ""}
        if kind == "reasoning":
            block = {"type": "thinking", "thinking": "", "signature": ""}
        elif kind == "call":
            number = f"{self._request_id.removeprefix('req-')[:24]}_{len(self._blocks)}"
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
        self._blocks.append({**block, "input": ""} if kind == "call" else block)
        return self._about("content_block_start", content_block=block)

    def _close(self) -> bytes:
        """End the last block; the text of a call becomes its arguments."""
        if self._open is None:
            return b""
        block, kind, self._open = self._blocks[-1], self._open, None
        events = b""
        if kind == "call":
            block["input"] = _arguments(block)
        elif kind == "content":
            cited = cited_results(self._generation)
            if cited:
                block["citations"] = cited
            for one in cited:
                delta = {"type": "citations_delta", "citation": one}
                events += self._about("content_block_delta", delta=delta)
        return events + self._about("content_block_stop")

    def _stopped(self, last: Delta) -> tuple[str, str | None]:
        """The reason why the answer ended, and the text that ended it."""
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
                "content": self._blocks,
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
        """An event about the last block."""
        return _event(kind, index=len(self._blocks) - 1, **fields)


def _arguments(block: dict[str, Any]) -> dict[str, Any]:
    """The object that the text of a call spells; of one that was cut off, what is there of it."""
    called = CalledFunction(name=block["name"], arguments=block["input"])
    with suppress(PydanticCustomError):
        spoken = ToolCall(id=block["id"], function=called).spoken()
        found: dict[str, Any] = spoken["function"]["arguments"]
        return found
    return {}


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _ENCODER.encode({"type": kind, **fields}) + b"\n\n"
