"""From the text of an answer to reasoning, content and calls of functions, as it arrives.

Rules:
- However the text is split, the same pieces come out once neighbours are joined.
- Where the model was free (`forced` is false), only a complete, well-formed call of an offered
  function becomes a call, held until then; everything else stays text, to the character.
- Where a grammar made the text, arguments leave as they come. Where it allowed either calls or an
  answer in a form, the beginning decides.
- White space around calls and around reasoning is dropped.
- The text is untrusted: work is linear in its length, and no text raises.

Two ways of writing a call are read:
`hermes`: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, any number, anywhere;
`json`: the answer itself is `{"name": …, "parameters": {…}}`, perhaps in a code fence or a list.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, NoReturn, TypeAlias

from appliance.engine.text.reasoning import Reasoning, Thinking
from appliance.types import JsonValue

Dialect: TypeAlias = Literal["", "hermes", "json"]
OPEN, CLOSE = "<tool_call>", "</tool_call>"
ARGUMENTS: Final = {"hermes": "arguments", "json": "parameters"}
"""The key of a call's arguments, by dialect."""
_SPACE: Final = " \t\r\n"
_BETWEEN: Final = _SPACE + ";,]`"  # what may stand between two calls of the json dialect
_FENCE: Final = 24  # longest first line of a code fence that may hold a call
_HEAD: Final = re.compile(
    r'\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)


@dataclass(frozen=True)
class ReplyForm:
    """Rules for reading an answer.

    Attributes:
        dialect: how calls are written; "" when none may occur.
        forced: a grammar made the text.
        either: it allowed an answer without calls, too.
    """

    dialect: Dialect = ""
    names: frozenset[str] = frozenset()
    forced: bool = False
    either: bool = False
    thinking: Thinking = ""


class Piece(NamedTuple):
    """A part of an answer.

    Attributes:
        kind: of reasoning, content and arguments more may follow; a call begins with its name.
        call: which call, from 0; for calls and arguments.
    """

    kind: Literal["reasoning", "content", "call", "arguments"]
    text: str
    call: int = 0


class ParsedReply:
    """One answer. Feed it with `push`, then call `finish` once."""

    def __init__(self, form: ReplyForm) -> None:
        self._reasoning = Reasoning(form.thinking)
        self._calls = _Calls(form) if form.dialect else None

    @property
    def calls(self) -> int:
        return self._calls.count if self._calls else 0

    def push(self, text: str) -> list[Piece]:
        """The pieces that are now certain."""
        reasoning, body = self._reasoning.push(text)
        return self._pieces(reasoning, body, final=False)

    def finish(self) -> list[Piece]:
        reasoning, body = self._reasoning.finish()
        return self._pieces(reasoning, body, final=True)

    def _pieces(self, reasoning: str, body: str, *, final: bool) -> list[Piece]:
        pieces = [Piece("reasoning", reasoning)] if reasoning else []
        if self._calls is not None:
            return pieces + self._calls.push(body, final=final)
        return [*pieces, Piece("content", body)] if body else pieces


@dataclass
class Said:
    """A whole answer; each call has `name` and `arguments`."""

    reasoning: str = ""
    content: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)


def collected(pieces: Iterable[Piece]) -> Said:
    """All pieces of an answer, joined."""
    said = Said()
    for piece in pieces:
        if piece.kind == "call":
            said.calls.append({"name": piece.text, "arguments": ""})
        elif piece.kind == "arguments":
            said.calls[piece.call]["arguments"] += piece.text
        elif piece.kind == "reasoning":
            said.reasoning += piece.text
        else:
            said.content += piece.text
    return said


@dataclass
class _ObjectEnd:
    """Finds where JSON objects end; reads every character once."""

    depth: int = 0
    quoted: bool = False
    escaped: bool = False

    def find(self, text: str, begin: int) -> int:
        """The index after the closing brace, or -1 when it is not there yet."""
        for at in range(begin, len(text)):
            char = text[at]
            if self.quoted:
                self.quoted = self.escaped or char != '"'
                self.escaped = not self.escaped and char == "\\"
            elif char == '"':
                self.quoted = True
            elif char in "{[":
                self.depth += 1
            elif char in "}]":
                self.depth -= 1
                if self.depth <= 0:
                    return at + 1
        return -1


@dataclass
class _Calls:
    """The state machine behind `ParsedReply`.

    States: `choice` (calls or an answer in a form?), `text`, `object` (a call may have begun at the
    start of the held text), `arguments` (forced: they are handed on), `brace` and `tail` (what
    closes a call), `gap` (white space after it), `plain` and, for the json dialect, `start`.
    """

    form: ReplyForm
    count: int = 0
    _held: str = ""
    _blank: str = ""
    _lead: str = ""  # what stood before the object that is being read, should it be no call
    _scanned: int = 0
    _end: _ObjectEnd = field(default_factory=_ObjectEnd)
    _state: str = field(init=False)
    _first: str = field(init=False)  # the state in which calls are looked for

    def __post_init__(self) -> None:
        self._steps = {
            "choice": self._in_choice,
            "text": self._in_text,
            "object": self._in_object,
            "arguments": self._in_arguments,
            "brace": self._in_brace,
            "tail": self._in_tail,
            "gap": self._in_gap,
            "start": self._in_start,
            "plain": self._in_plain,
        }
        self._state = self._first = "text" if self.form.dialect == "hermes" else "start"
        if self.form.either:
            self._state = "choice"

    def push(self, text: str, *, final: bool) -> list[Piece]:
        if not final and (not text or text.isspace()):
            self._blank += text  # decides nothing, and looking at it again and again costs much
            return []
        self._held += self._blank + text
        self._blank = ""
        pieces: list[Piece] = []
        while True:
            state = self._state
            pieces += self._steps[state](final)
            if self._state == state:
                return pieces

    def _take(self, count: int) -> Iterator[Piece]:
        if count:
            yield Piece("content", self._held[:count])
            self._held = self._held[count:]

    def _look_for_object(self, begin: int) -> None:
        self._state, self._scanned, self._end = "object", begin, _ObjectEnd()

    def _in_choice(self, final: bool) -> Iterator[Piece]:
        yield from ()
        begins = beginnings(self.form.dialect, self.form.names)
        if self._held.startswith(begins):
            self._state = self._first
        elif final or not any(begin.startswith(self._held) for begin in begins):
            self._state = "plain"

    def _in_text(self, final: bool) -> Iterator[Piece]:
        at = self._held.find(OPEN)
        if at >= 0:
            yield from self._take(len(self._held[:at].rstrip(_SPACE)))
            self._look_for_object(self._held.index(OPEN) + len(OPEN))
        elif final:
            yield from self._take(len(self._held))
        else:
            certain = self._held[: len(self._held) - overlap(self._held, OPEN)]
            yield from self._take(len(certain.rstrip(_SPACE)))

    def _in_start(self, final: bool) -> Iterator[Piece]:
        body = self._held.lstrip(_SPACE)
        begin = len(self._held) - len(body)
        if body.startswith("```"):
            line = body.find("\n")
            if line < 0 and len(body) <= _FENCE and not final:
                return
            begin += line + 1 if 0 <= line <= _FENCE else 0
        elif body.startswith("["):
            begin += 1
        elif not body and not final:
            return
        self._look_for_object(begin)
        yield from ()

    def _in_object(self, final: bool) -> Iterator[Piece]:
        if self._end.depth == 0:  # the brace has not been seen
            body = self._held[self._scanned :].lstrip(_SPACE)
            if not body and not final:
                return
            self._scanned = len(self._held) - len(body)
            if not body.startswith("{"):
                yield from self._give_up(self._scanned)
                return
            self._held, self._lead = self._held[self._scanned :], self._held[: self._scanned]
            self._scanned = 0
        yield from self._forced() if self.form.forced else self._free(final)

    def _forced(self) -> Iterator[Piece]:
        self._end.depth = 1  # the brace has been seen
        if head := _HEAD.match(self._held):
            yield Piece("call", head[1], self.count)
            self._held = self._held[head.end() :]
            self._end, self._scanned, self._state = _ObjectEnd(), 0, "arguments"

    def _free(self, final: bool) -> Iterator[Piece]:
        end = self._end.find(self._held, self._scanned)
        self._scanned = len(self._held)
        if end < 0 and not final:
            return
        call = _call(self._held[:end], self.form.names) if end >= 0 else None
        if call is None:
            self._held = self._lead + self._held
            # An object without an end takes the rest with it, so that nothing is read twice.
            yield from self._give_up(len(self._lead) + end if end >= 0 else len(self._held))
            return
        self._held = self._held[end:]
        yield Piece("call", call[0], self.count)
        yield Piece("arguments", call[1], self.count)
        self.count += 1
        self._state = "tail"

    def _in_arguments(self, _final: bool) -> Iterator[Piece]:
        end = self._end.find(self._held, 0)
        text = self._held if end < 0 else self._held[:end]
        self._held = self._held[len(text) :]
        if text:
            yield Piece("arguments", text, self.count)
        if end >= 0:
            self.count += 1
            self._state = "brace"

    def _in_brace(self, _final: bool) -> Iterator[Piece]:
        self._held = self._held.lstrip(_SPACE)
        if self._held:
            self._held = self._held.removeprefix("}")
            self._state = "tail"
        yield from ()

    def _in_tail(self, final: bool) -> Iterator[Piece]:
        yield from ()
        if self.form.dialect == "json":
            self._held = self._held.lstrip(_BETWEEN)
            if self._held.startswith("{"):
                self._look_for_object(0)
            elif self._held:
                self._state = "plain"
            return
        self._held = self._held.lstrip(_SPACE)
        if CLOSE.startswith(self._held) and self._held != CLOSE:
            self._held = "" if final else self._held
            return
        self._held = self._held.removeprefix(CLOSE)
        self._state = "gap"

    def _in_gap(self, _final: bool) -> Iterator[Piece]:
        self._held = self._held.lstrip(_SPACE)
        if self._held:
            self._state = "text"
        yield from ()

    def _in_plain(self, _final: bool) -> Iterator[Piece]:
        yield from self._take(len(self._held))

    def _give_up(self, count: int) -> Iterator[Piece]:
        """Hand on text that was no call: `count` characters at least."""
        self._lead = ""
        yield from self._take(count)
        self._state = "text" if self.form.dialect == "hermes" else "plain"


def head(name: str, dialect: Dialect) -> str:
    """The beginning of a call in a grammar, before its arguments."""
    return f'{{"name": {json.dumps(name)}, "{ARGUMENTS[dialect]}": '


def beginnings(dialect: Dialect, names: Iterable[str]) -> tuple[str, ...]:
    """The possible beginnings of calls that a grammar made."""
    return (OPEN,) if dialect == "hermes" else tuple(head(name, dialect) for name in sorted(names))


def overlap(text: str, marker: str) -> int:
    """Length of the longest end of `text` that begins `marker` without being all of it."""
    for size in range(min(len(text), len(marker) - 1), 0, -1):
        if text.endswith(marker[:size]):
            return size
    return 0


def _call(text: str, names: frozenset[str]) -> tuple[str, str] | None:
    try:
        call = json.loads(text, parse_constant=_no_number)
        name = call.get("name")
        arguments = call.get("arguments", call.get("parameters"))
        if not isinstance(name, str) or name not in names or not isinstance(arguments, dict):
            return None
        return name, _written(arguments)
    except (ValueError, RecursionError):
        return None


def _written(arguments: dict[str, JsonValue]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can spell
        return json.dumps(arguments)
    return text


def _no_number(_text: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")
