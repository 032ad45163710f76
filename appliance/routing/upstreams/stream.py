"""The bytes of an upstream's answer, read as one answer or refused.

Rules:
- An answer is whole only with a finish reason for each choice, without an error, and with one id.
- Reasoning and calls of a model become text as our own models write it.
- Bytes, lines, text and pieces are bounded. Each byte is looked at once.
- An event that is no answer of the API is refused; nothing of it is guessed.
- An earlier answer's id is refused where the engine makes new ones.
"""

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from msgspec import MsgspecError, Raw
from msgspec.json import decode as parse

from appliance.engine.text.reasoning import BEGIN, END
from appliance.engine.text.reply import CLOSE, OPEN
from appliance.errors import UpstreamLost
from appliance.routing.upstreams import events, receipts
from appliance.routing.upstreams.exchange import invalid
from appliance.text import visible
from appliance.types import Delta, PeerReceipt, TokenLogprob

_MOST_LINE: Final = 1 << 20
_FILLED: Final = re.compile(rb"[^\r\n]+")
_REMEMBERED: Final = 4096
_MOST_CALLS: Final = 64
_FINISHES: Final = frozenset({"stop", "length", "tool_calls"})
BYTES_PER_TOKEN: Final = 3
"""Of a text whose tokens nobody counted; rather fewer than there are."""
# No vocabulary has a longer token.
_LONGEST_TOKEN: Final = 256
_COUNT_SLACK: Final = 64


class SeenIds:
    """Ids of a host's newest answers."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def add(self, name: str) -> None:
        if len(self._order) >= _REMEMBERED:
            self._known.discard(self._order.popleft())
        self._order.append(name)
        self._known.add(name)


class _Lines:
    def __init__(self) -> None:
        self.rest = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """Lines completed by these bytes, none empty.

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


@dataclass(frozen=True)
class Wanted:
    """Requirements on an answer.

    Attributes:
        prompt: estimated tokens.
        names: functions that may be called.
        calls: most calls of a choice; None for any number.
        receipt: whether another appliance's receipt comes with it.
    """

    most_bytes: int
    most_tokens: int
    prompt: int
    choices: int = 1
    names: frozenset[str] = frozenset()
    calls: int | None = None
    must_call: bool = False
    reasoning: bool = False
    receipt: bool = False


@dataclass
class _ToolCall:
    name: str
    parts: list[str] = field(default_factory=list)


class _StreamedChoice:
    """One choice as it comes in.

    Attributes:
        pieces, size: events with a part of it, and bytes of these parts.
    """

    def __init__(self, wanted: Wanted, index: int) -> None:
        self._wanted, self._index = wanted, index
        self._calls: list[_ToolCall] = []
        self._by_index: dict[int, _ToolCall] = {}
        self._thinking = self._said = False
        self._offset = self.pieces = self.size = 0
        self.finish: str | None = None

    @property
    def tokens(self) -> int:
        """Estimated."""
        most = max(self.pieces, -(-self.size // BYTES_PER_TOKEN))
        return min(self._wanted.most_tokens, most)

    def take(self, choice: events.ChoiceDelta) -> Delta | None:
        message = choice.delta or events.MessageDelta(choice.text)
        thought, content = message.reasoning_content or message.reasoning or "", message.content
        calls, logprobs = message.tool_calls or [], self._logprobs(choice)
        size = len(thought.encode()) + len((content or "").encode()) + self._called(calls)
        reason = _finish(choice.finish_reason)
        if self.finish is not None and (size or logprobs or reason not in (None, self.finish)):
            raise invalid("something follows the finish reason")
        self.finish = reason or self.finish
        count = self._counted(size, logprobs)
        text = self._thought(thought) + self._content(content or "")
        text += self._written() if reason is not None else ""
        return Delta(text, count, None, self._index, logprobs) if text or logprobs else None

    def _counted(self, size: int, logprobs: tuple[TokenLogprob, ...]) -> int:
        """Tokens of a piece that may leave; the rest may come with the finish reason."""
        if not size and not logprobs:
            return 0
        most = self._wanted.most_tokens
        self.size += size
        left = most - self.pieces
        if (left <= 0 and self.finish is None) or self.size > _LONGEST_TOKEN * most:
            raise invalid("its answer is longer than `max_tokens`")
        count = min(max(1, len(logprobs)), max(0, left))
        self.pieces += count
        return count

    def _logprobs(self, choice: events.ChoiceDelta) -> tuple[TokenLogprob, ...]:
        logprobs = choice.logprobs.read(self._offset) if choice.logprobs is not None else ()
        self._offset += sum(len(token.token.decode("utf-8", "replace")) for token in logprobs)
        return logprobs

    def _called(self, parts: list[events.Call]) -> int:
        size = 0
        for part in parts:
            name, arguments = part.function.name, part.function.arguments or ""
            if name is not None:
                if name not in self._wanted.names or len(self._calls) >= _MOST_CALLS:
                    raise invalid("it calls a function that was not on offer")
                self._by_index[part.index] = _ToolCall(name)
                self._calls.append(self._by_index[part.index])
            if part.index not in self._by_index:
                raise invalid("it continues a call that it did not begin")
            self._by_index[part.index].parts.append(arguments)
            size += len((name or "").encode()) + len(arguments.encode())
        return size

    def _thought(self, thought: str) -> str:
        if not thought or not self._wanted.reasoning:
            return ""
        if self._said:
            raise invalid("its reasoning follows its answer")
        begin = "" if self._thinking else BEGIN
        self._thinking = True
        return begin + thought

    def _content(self, content: str) -> str:
        if not content:
            return ""
        end = f"{END}\n\n" if self._thinking and not self._said else ""
        self._said = True
        return end + content

    def _written(self) -> str:
        wanted = self._wanted
        whole = self.finish == "stop"
        if whole and wanted.must_call and not self._calls:
            raise invalid("it called no function, and had to")
        if wanted.calls is not None and len(self._calls) > wanted.calls:
            raise invalid("it called more functions than it might")
        return self._content("\n".join(_written(call, whole=whole) for call in self._calls))


class StreamedAnswer:
    """One answer as it comes in.

    Args:
        seen: ids of earlier answers; None where ids mean nothing.

    Attributes:
        model, fingerprint: its claims, untrusted.
        ended: whether the end was announced.
    """

    def __init__(self, wanted: Wanted, seen: SeenIds | None) -> None:
        self._wanted, self._seen = wanted, seen
        self._left = wanted.most_bytes
        self._lines = _Lines()
        self._choices = [_StreamedChoice(wanted, index) for index in range(wanted.choices)]
        self._usage = events.CountedTokens()
        self.id = self.model = self.fingerprint = ""
        self.receipt: PeerReceipt | None = None
        self.ended = False

    @property
    def begun(self) -> bool:
        return any(choice.pieces or choice.size for choice in self._choices)

    @property
    def finish(self) -> str | None:
        """None until all choices have ended."""
        found = [choice.finish for choice in self._choices if choice.finish is not None]
        return ",".join(found) if len(found) == len(self._choices) else None

    @property
    def prompt_tokens(self) -> int:
        """The host's count, or ours where that is not credible; so are the other counts."""
        return believed(self._usage.prompt_tokens, self._wanted.prompt)

    @property
    def cached_tokens(self) -> int:
        """Of these, the host's cached ones."""
        details = self._usage.prompt_tokens_details
        return max(0, min((details and details.cached_tokens) or 0, self.prompt_tokens))

    @property
    def tokens(self) -> int:
        most = self._wanted.most_tokens * self._wanted.choices
        return min(most, believed(self._usage.completion_tokens, self._counted))

    @property
    def doubted(self) -> bool:
        usage = self._usage
        told = (
            (usage.prompt_tokens, self._wanted.prompt),
            (usage.completion_tokens, self._counted),
        )
        return any(count is not None and not fits(count, ours) for count, ours in told)

    @property
    def _counted(self) -> int:
        return sum(choice.tokens for choice in self._choices)

    async def feed(self, data: bytes) -> tuple[list[Delta], bool]:
        """Return pieces, none with a finish reason, and whether there was an event.

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
                found += await self._event(line[5:].strip())
            elif self._wanted.receipt and line.startswith(b": receipt "):
                self._receive(line[10:])
            elif not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise invalid("its answer is no stream of events")
        return found, live

    def last(self) -> list[Delta]:
        """The last piece of each choice; UpstreamLost (`upstream_incomplete`) without a finish
        reason.
        """
        if self._lines.rest.strip() or self.finish is None:
            raise UpstreamLost(
                "upstream_incomplete", "The upstream ended its answer without a finish reason."
            )
        if self._seen is not None:
            self._seen.add(self.id)
        prompt, cached = self.prompt_tokens, self.cached_tokens
        return [
            Delta("", 0, choice.finish, index, cached=cached, prompt=prompt)
            for index, choice in enumerate(self._choices)
        ]

    def _receive(self, line: bytes) -> None:
        if self.receipt is not None:
            raise invalid("its answer has two receipts")
        self.receipt = receipts.read(line)

    async def _event(self, data: bytes) -> list[Delta]:
        if data == b"[DONE]":
            if self.ended:
                raise invalid("its answer ends twice")
            self.ended = True
            return []
        if self.ended:
            raise invalid("an event follows the end of its answer")
        event = await events.decoded(data, events.Event)
        if bytes(event.error) not in (b"", b"null"):
            raise _broken(_message(event.error))
        self._name(event)
        self._usage = event.usage or self._usage
        if event.choices is None or len(event.choices) > len(self._choices):
            raise invalid("an event has no list of the choices that were asked for")
        found = [self._choice(choice) for choice in event.choices]
        return [piece for piece in found if piece is not None]

    def _choice(self, choice: events.ChoiceDelta) -> Delta | None:
        if not 0 <= choice.index < len(self._choices):
            raise invalid("an event has a choice that was not asked for")
        return self._choices[choice.index].take(choice)

    def _name(self, event: events.Event) -> None:
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


def _finish(reason: str | None) -> str | None:
    """The answer itself shows its calls."""
    if reason is not None and reason not in _FINISHES:
        told = visible(reason)[:40]
        message = f"The upstream ended its answer with {told!r}."
        raise UpstreamLost("upstream_incomplete", message)
    return "stop" if reason == "tool_calls" else reason


def _written(call: _ToolCall, *, whole: bool) -> str:
    """One that `length` cut off stays incomplete."""
    begin = f'{OPEN}{{"name": {json.dumps(call.name)}, "arguments": '
    arguments = "".join(call.parts).strip() or "{}"
    try:
        parse(arguments, type=dict[str, Raw])
    except (MsgspecError, UnicodeError, RecursionError) as error:
        if whole:
            raise invalid("the arguments of a call are no object") from error
        return begin + arguments
    return f"{begin}{arguments}}}{CLOSE}"


def fits(told: int, ours: int) -> bool:
    """True if a count is between half and twice ours, and a few more."""
    return ours <= 2 * told and told <= 2 * ours + _COUNT_SLACK


def believed(told: int | None, ours: int) -> int:
    """A host's count, or ours where that does not fit."""
    return told if told is not None and fits(told, ours) else ours


def _message(error: Raw) -> str:
    try:
        found = parse(error, type=events.Failure | str)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return bytes(error)[:200].decode("utf-8", "replace")
    return found if isinstance(found, str) else found.message


def _broken(message: str) -> UpstreamLost:
    told = visible(message)[:200]
    return UpstreamLost("upstream_incomplete", f"The upstream ended its answer with: {told}")
