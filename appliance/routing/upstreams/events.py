"""The forms of hosts' answers, decoded once: anything of another form is refused.

Rules: every list, text and number is bounded. A large document is decoded in a thread. Members
without a meaning here are left out.
"""

import asyncio
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta, MsgspecError, Raw, Struct, field
from msgspec.json import Decoder

from appliance.routing.upstreams.exchange import invalid
from appliance.types import TokenLogprob

_LARGE: Final = 64 << 10
_TOP: Final = 64
_MOST_TOKENS: Final = 1 << 16
_DECODERS: Final[dict[type[Any], Decoder[Any]]] = {}
T = TypeVar("T")

# What float32 can say; engines have their lowest number for what is impossible.
Logarithm = Annotated[float, Meta(ge=-3.5e38, le=0.01)]
Count = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Name = Annotated[str, Meta(max_length=256)]
Piece = Annotated[str, Meta(max_length=4096)]
Byte = Annotated[int, Meta(ge=0, le=255)]
Bytes = Annotated[list[Byte], Meta(max_length=4096)]


class Ranked(Struct):
    """A token with its log-probability, as in chat."""

    token: Piece
    logprob: Logarithm
    spelt: Bytes | None = field(default=None, name="bytes")

    @property
    def raw(self) -> bytes:
        return bytes(self.spelt) if self.spelt else self.token.encode()


class Generated(Ranked):
    """A generated token with the likely ones in its place."""

    top_logprobs: Annotated[list[Ranked], Meta(max_length=_TOP)] | None = None


class EventLogprobs(Struct):
    """Log-probabilities, in either of the two forms of the API."""

    content: Annotated[list[Generated], Meta(max_length=_MOST_TOKENS)] | None = None
    tokens: Annotated[list[Piece], Meta(max_length=_MOST_TOKENS)] | None = None
    token_logprobs: Annotated[list[Logarithm | None], Meta(max_length=_MOST_TOKENS)] | None = None
    top_logprobs: (
        Annotated[
            list[Annotated[dict[Piece, Logarithm], Meta(max_length=_TOP)] | None],
            Meta(max_length=_MOST_TOKENS),
        ]
        | None
    ) = None

    def read(self, offset: int = 0) -> tuple[TokenLogprob, ...]:
        """The offset is in characters.

        Raises:
            UpstreamLost: `upstream_invalid` for lists that do not belong together.
        """
        told: list[tuple[bytes, float | None, tuple[tuple[bytes, float], ...]]]
        if self.content is not None:
            told = [(one.raw, one.logprob, _ranked(one.top_logprobs)) for one in self.content]
        else:
            names, values = self.tokens or [], self.token_logprobs or []
            tops = self.top_logprobs or [None] * len(names)
            if not len(names) == len(values) == len(tops):
                raise invalid("the log-probabilities of an event do not belong together")
            told = [
                (name.encode(), value, _mapped(top or {}))
                for name, value, top in zip(names, values, tops, strict=True)
            ]
        read = []
        for token, value, top in told:
            read.append(TokenLogprob(token, value, top, offset))
            offset += len(token.decode("utf-8", "replace"))
        return tuple(read)


class FunctionDelta(Struct, frozen=True):
    """An event's addition to a call: its name, or more of its arguments."""

    name: Name | None = None
    arguments: str | None = None


class Call(Struct):
    """A function that is to be called."""

    index: Count = 0
    function: FunctionDelta = FunctionDelta()


class MessageDelta(Struct):
    """An event's addition to a chat; engines have two names for a model's thoughts."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Annotated[list[Call], Meta(max_length=_TOP)] | None = None


class ChoiceDelta(Struct):
    """An event's addition to a choice."""

    index: Count = 0
    text: str | None = None
    delta: MessageDelta | None = None
    finish_reason: Name | None = None
    logprobs: EventLogprobs | None = None


class PromptDetails(Struct):
    """Prompt tokens that were not computed again."""

    cached_tokens: Count | None = None


class CountedTokens(Struct):
    """Token counts that a host claims."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None


class Event(Struct):
    """One event of an answer."""

    id: Name = ""
    choices: Annotated[list[ChoiceDelta], Meta(max_length=_TOP)] | None = None
    model: Name | None = None
    system_fingerprint: Name | None = None
    usage: CountedTokens | None = None
    error: Raw = Raw()


class Failure(Struct):
    """An error in place of an answer."""

    message: str = ""


class Probed(Struct):
    """A whole completion: the answer to a probe."""

    choices: Annotated[list[ChoiceDelta], Meta(max_length=_TOP)]
    system_fingerprint: Name | None = None


class TokenPiece(Struct):
    """A token with its text, or with its bytes where they are none."""

    id: Count
    piece: Piece | Bytes


class TokenIds(Struct):
    """The ids of a text, and the text of each in either of two forms."""

    tokens: Annotated[list[Count | TokenPiece], Meta(max_length=_MOST_TOKENS)]
    token_strs: Annotated[list[Piece], Meta(max_length=_MOST_TOKENS)] | None = None

    @property
    def ids(self) -> list[int]:
        return [one.id if isinstance(one, TokenPiece) else one for one in self.tokens]

    @property
    def strings(self) -> list[bytes]:
        """The bytes of each token, as far as the host gives them."""
        pieces = [one.piece for one in self.tokens if isinstance(one, TokenPiece)]
        return [
            one.encode("utf-8", "replace") if isinstance(one, str) else bytes(one)
            for one in pieces or self.token_strs or []
        ]


class Spelt(Struct):
    """The text of tokens, or of messages in their template."""

    prompt: str | None = None
    content: str | None = None

    @property
    def text(self) -> str:
        found = self.content if self.prompt is None else self.prompt
        if found is None:
            raise invalid("it sent no text")
        return found


async def decoded(data: bytes, form: type[T]) -> T:
    """In a thread if large. Raises UpstreamLost (`upstream_invalid`)."""
    if len(data) > _LARGE:
        return await asyncio.to_thread(decode, data, form)
    return decode(data, form)


def decode(data: bytes, form: type[T]) -> T:
    """Raises as `decoded`."""
    try:
        decoder = _DECODERS.get(form) or _DECODERS.setdefault(form, Decoder(form))
        found: T = decoder.decode(data)
        return found
    except (MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"its answer is not what was asked for: {str(error)[:100]}") from error


def _ranked(found: list[Ranked] | None) -> tuple[tuple[bytes, float], ...]:
    return tuple((one.raw, one.logprob) for one in found or ())


def _mapped(found: dict[str, float]) -> tuple[tuple[bytes, float], ...]:
    pairs = [(name.encode(), value) for name, value in found.items()]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))
