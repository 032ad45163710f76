"""The bytes of an upstream's answer, read as one answer or refused.

Rules:
- An answer is whole only with a finish reason, without an error, and in one piece: one id, one
  choice, nothing of it after the finish reason.
- Everything is bounded: bytes, lines, text, pieces. Each byte is looked at once.
- A host's counts are believed as far as they are like ours.
- What is no answer of the API is refused; nothing of it is guessed.
- An id that an earlier answer of the host had is refused where the engine makes new ones.
"""

import re
from collections import deque
from typing import Final

from msgspec import MsgspecError, Raw
from msgspec.json import decode as parse

from appliance.errors import UpstreamLost
from appliance.routing.upstreams.events import Choice, Event, Failure, Usage, decoded
from appliance.routing.upstreams.exchange import invalid
from appliance.text import visible
from appliance.types import Delta, TokenLogprob

_MOST_LINE: Final = 1 << 20
_FILLED: Final = re.compile(rb"[^\r\n]+")
_REMEMBERED: Final = 4096
_FINISHES: Final = frozenset({"stop", "length"})
BYTES_PER_TOKEN: Final = 3
"""Of a text whose tokens nobody counted; rather fewer than there are."""
# No vocabulary has a longer token.
_LONGEST_TOKEN: Final = 256
_COUNT_SLACK: Final = 64


class SeenIds:
    """The ids of the newest answers of a host."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def add(self, name: str) -> None:
        """Remember an id, and forget the oldest one."""
        if len(self._order) >= _REMEMBERED:
            self._known.discard(self._order.popleft())
        self._order.append(name)
        self._known.add(name)


class _Lines:
    """Bytes as they come, cut into lines."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """The lines that end with these bytes, without the empty ones.

        Raises:
            UpstreamLost: `upstream_invalid` for one that is too long.
        """
        seen = len(self.rest)
        self.rest += data
        end = self.rest.rfind(b"\n", seen) + 1
        lines: list[bytes] = _FILLED.findall(bytes(self.rest[:end])) if end else []
        del self.rest[:end]
        if max(len(self.rest), *map(len, lines), 0) > _MOST_LINE:
            raise invalid(f"one line of its answer is longer than {_MOST_LINE} bytes")
        return lines


class Answer:
    """One answer as it comes in.

    Args:
        most_bytes: of the whole body.
        most_tokens: that it may have.
        prompt: about how many tokens the prompt has.
        seen: ids of earlier answers; None where ids mean nothing.

    Attributes:
        id: what the upstream calls it.
        model, fingerprint: what it says of itself, untrusted.
        finish: the finish reason, once there is one.
        ended: whether the end was announced.
    """

    def __init__(
        self, most_bytes: int, most_tokens: int, prompt: int, seen: SeenIds | None
    ) -> None:
        self._left, self._most, self._seen = most_bytes, most_tokens, seen
        self._lines = _Lines()
        self._prompt = prompt
        self._pieces = self._text = self._offset = 0
        self._usage = Usage()
        self.id = self.model = self.fingerprint = ""
        self.finish: str | None = None
        self.ended = False

    @property
    def begun(self) -> bool:
        """Whether a piece came."""
        return bool(self._pieces or self._text)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt: the host's count, or ours where nobody would believe that."""
        return _believed(self._usage.prompt_tokens, self._prompt)

    @property
    def tokens(self) -> int:
        """Tokens of the answer so far, counted likewise."""
        return min(self._most, _believed(self._usage.completion_tokens, self._counted))

    @property
    def doubted(self) -> bool:
        """Whether a count of the host is not believed."""
        usage, counted = self._usage, self._counted
        told = (usage.prompt_tokens, self._prompt), (usage.completion_tokens, counted)
        return any(count is not None and not _fits(count, ours) for count, ours in told)

    @property
    def _counted(self) -> int:
        return min(self._most, max(self._pieces, -(-self._text // BYTES_PER_TOKEN)))

    async def feed(self, data: bytes) -> tuple[list[Delta], bool]:
        """Read what came in.

        Returns:
            The pieces, none of them with a finish reason, and whether there was an event.

        Raises:
            UpstreamLost: `upstream_invalid`, `upstream_incomplete`.
        """
        self._left -= len(data)
        if self._left < 0:
            raise invalid("its answer is larger than `answer_kib`")
        found: list[Delta] = []
        live = False
        for line in self._lines.take(data):
            if line.startswith(b"error:"):
                raise _broken(line[6:].decode("utf-8", "replace"))
            if line.startswith(b"data:"):
                live = True
                piece = await self._event(line[5:].strip())
                if piece is not None:
                    found.append(piece)
            elif not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise invalid("its answer is no stream of events")
        return found, live

    def last(self) -> Delta:
        """The last piece, after the last byte.

        Raises:
            UpstreamLost: `upstream_incomplete` for an answer that has no finish reason.
        """
        if self._lines.rest.strip() or self.finish is None:
            raise UpstreamLost(
                "upstream_incomplete", "The upstream ended its answer without a finish reason."
            )
        if self._seen is not None:
            self._seen.add(self.id)
        return Delta("", 0, self.finish, prompt=self.prompt_tokens)

    async def _event(self, data: bytes) -> Delta | None:
        if data == b"[DONE]":
            if self.ended:
                raise invalid("its answer ends twice")
            self.ended = True
            return None
        if self.ended:
            raise invalid("an event follows the end of its answer")
        event = await decoded(data, Event)
        if bytes(event.error) not in (b"", b"null"):
            raise _broken(_message(event.error))
        self._name(event)
        self._usage = event.usage or self._usage
        if event.choices is None or len(event.choices) > 1:
            raise invalid("an event has no list of one choice")
        return self._choice(event.choices[0]) if event.choices else None

    def _name(self, event: Event) -> None:
        if not event.id:
            raise invalid("an event has no id")
        if not self.id:
            if self._seen is not None and event.id in self._seen:
                raise invalid("its answer has the id of an earlier one")
            self.id = event.id
        if event.id != self.id:
            raise invalid("an event belongs to another answer")
        self.model = event.model or self.model
        self.fingerprint = event.system_fingerprint or self.fingerprint

    def _choice(self, choice: Choice) -> Delta | None:
        if choice.index != 0:
            raise invalid("an event has a choice that was not asked for")
        if choice.delta is not None and choice.delta.tool_calls:
            raise invalid("an event has no text to read")
        text = (choice.text if choice.delta is None else choice.delta.content) or ""
        logprobs = choice.logprobs.read(self._offset) if choice.logprobs is not None else ()
        reason = _finish(choice.finish_reason)
        if self.finish is not None and (text or logprobs or reason not in (None, self.finish)):
            raise invalid("something follows the finish reason")
        self.finish = reason or self.finish
        return self._piece(text, logprobs) if text or logprobs else None

    def _piece(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> Delta:
        """A piece that may leave; an engine may tell what it held back with the finish reason."""
        self._offset += sum(len(token.token.decode("utf-8", "replace")) for token in logprobs)
        self._text += len(text.encode())
        left = self._most - self._pieces
        if (left <= 0 and self.finish is None) or self._text > _LONGEST_TOKEN * self._most:
            raise invalid("its answer is longer than `max_tokens`")
        count = min(max(1, len(logprobs)), max(0, left))
        self._pieces += count
        return Delta(text, count, logprobs=logprobs)


def _finish(reason: str | None) -> str | None:
    if reason is not None and reason not in _FINISHES:
        told = visible(reason)[:40]
        message = f"The upstream ended its answer with {told!r}."
        raise UpstreamLost("upstream_incomplete", message)
    return reason


def _fits(told: int, ours: int) -> bool:
    """Whether a count is between half and twice ours, and a few more."""
    return ours <= 2 * told and told <= 2 * ours + _COUNT_SLACK


def _believed(told: int | None, ours: int) -> int:
    return told if told is not None and _fits(told, ours) else ours


def _message(error: Raw) -> str:
    try:
        found = parse(error, type=Failure | str)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return bytes(error)[:200].decode("utf-8", "replace")
    return found if isinstance(found, str) else found.message


def _broken(message: str) -> UpstreamLost:
    told = visible(message)[:200]
    return UpstreamLost("upstream_incomplete", f"The upstream ended its answer with: {told}")
