"""The bytes of an answer: one JSON document, or server-sent events.

Rules of a stream (openai-python and openai-node rely on them): every chunk has the same id,
created and model; the first delta of a chat names the role; exactly one chunk of each choice has
a finish reason; with `include_usage` one more chunk, without choices, has the token counts and all
others have `usage: null`, or with `continuous_usage_stats` the counts so far; else none has the
field; the comment before `[DONE]` is the receipt of the outcome.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec
from pydantic import BaseModel

from appliance.api.errors import error_body
from appliance.engine.text.reasoning import Reasoning
from appliance.errors import ApplianceError
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta, JsonValue, TokenLogprob
from appliance.wire.openai.generation import (
    CompletionTokensDetails,
    PromptTokensDetails,
    StreamUsage,
    Usage,
)

DONE: Final = b"data: [DONE]\n\n"
_ENCODER: Final = msgspec.json.Encoder()


class _Chunk(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: Sequence[msgspec.Struct]
    usage: dict[str, JsonValue] | msgspec.UnsetType | None = msgspec.UNSET
    x_appliance: dict[str, JsonValue] | msgspec.UnsetType = msgspec.UNSET


@dataclass
class PartialChoice:
    """One choice of an answer, as far as it has come."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    last: Delta = field(default_factory=lambda: Delta("", 0))

    def take(self, delta: Delta) -> None:
        self.text += delta.text
        self.logprobs += delta.logprobs
        self.last = delta

    @property
    def finish(self) -> str | None:
        """None before the end."""
        return self.last.finish_reason


def token_usage(generation: ServedAnswer, reasoned: int = 0) -> Usage:
    """The token counts of an answer so far; `reasoned` of them are reasoning."""
    return Usage(
        prompt_tokens=generation.prompt_tokens,
        completion_tokens=generation.completion_tokens,
        total_tokens=generation.prompt_tokens + generation.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.cached_tokens),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoned),
    )


def error_event(error: ApplianceError) -> bytes:
    """The event that ends a failed stream: the SDKs raise it; no `[DONE]` follows."""
    return b"data: " + _ENCODER.encode({"error": error_body(error)}) + b"\n\n"


class Format(ABC):
    """Format of one generation, whose counts and receipts are read when they are written.

    Args:
        request_id: the id of the answer is derived from it.
        usage: the chunks of a stream that have the token counts.
    """

    prefix: ClassVar[str]
    object: ClassVar[str]

    def __init__(self, generation: ServedAnswer, request_id: str, usage: StreamUsage) -> None:
        self._generation = generation
        self._stream_usage = usage
        self.choices = generation.choices
        self._thoughts = [Reasoning(generation.form.thinking) for _ in range(self.choices)]
        self.reasoned = 0
        self.head: Final[dict[str, Any]] = {
            "id": f"{self.prefix}-{request_id.removeprefix('req-')}",
            "created": generation.created,
            "model": generation.card.id,
            "system_fingerprint": generation.card.fingerprint,
        }

    def note(self, delta: Delta) -> None:
        thought = self._thoughts[delta.index]
        thought.push(delta.text)
        if thought.thinks:
            self.reasoned += delta.tokens

    @abstractmethod
    def whole(self, choices: Sequence[PartialChoice]) -> BaseModel:
        """The document, once every choice has ended."""

    @abstractmethod
    def opening(self) -> bytes:
        """The beginning of a stream."""

    @abstractmethod
    def piece(self, delta: Delta) -> bytes:
        """One delta's chunk, without its finish reason."""

    @abstractmethod
    def end(self, last: Delta) -> bytes:
        """The chunk with a choice's finish reason; it has no text."""

    async def keep(self) -> None:
        """Keep a complete answer, before its end leaves."""
        return

    def closing(self) -> bytes:
        """The end of a complete stream: counts, receipt, `[DONE]`."""
        end = b""
        if self._stream_usage != "none":
            end += self.event([], self.usage().model_dump())
        if self._generation.outcome is not None:
            end += f": receipt {self._generation.outcome.header()}\n\n".encode()
        return end + DONE

    def failing(self, error: ApplianceError) -> bytes:
        return error_event(error)

    def usage(self) -> Usage:
        return token_usage(self._generation, self.reasoned)

    def event(
        self,
        choices: Sequence[msgspec.Struct],
        usage: dict[str, JsonValue] | None = None,
        *,
        last: bool = False,
    ) -> bytes:
        """One chunk; the last one of a choice has what a task adds to its answer."""
        shown: dict[str, JsonValue] | msgspec.UnsetType | None = usage
        if self._stream_usage == "none":
            shown = msgspec.UNSET
        elif self._stream_usage == "each":
            shown = self.usage().model_dump()
        about = self._generation.about if last else None
        chunk = _Chunk(
            object=self.object,
            choices=choices,
            usage=shown,
            x_appliance=msgspec.UNSET if about is None else about.document(),
            **self.head,
        )
        return b"data: " + _ENCODER.encode(chunk) + b"\n\n"
