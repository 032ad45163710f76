"""The bytes of an upstream's answer, read as one answer or refused.

Rules:
- An answer is whole only with a finish reason, without an error, and in one piece: one id, one
  choice, nothing of it after the finish reason.
- Everything is bounded: the bytes in all, one line, the text, the tokens that are counted.
- What is no answer of the API is refused; nothing of it is guessed.
- An id that an earlier answer of the host had is refused where the engine makes new ones.
"""

import json
from collections import deque
from typing import Any, Final

from appliance.errors import UpstreamLost
from appliance.text import visible
from appliance.types import Delta, TokenLogprob

_MOST_LINE: Final = 1 << 20
_REMEMBERED: Final = 4096
_FINISHES: Final = frozenset({"stop", "length"})


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


class Answer:
    """One answer as it comes in.

    Args:
        most_bytes: of the whole body.
        most_tokens: that may be counted.
        seen: ids of earlier answers; None where ids mean nothing.

    Attributes:
        id: what the upstream calls it.
        model, fingerprint: what it says of itself, untrusted.
        finish: the finish reason, once there is one.
        prompt_tokens, tokens: as it counted them, or as pieces came.
    """

    def __init__(self, most_bytes: int, most_tokens: int, seen: SeenIds | None) -> None:
        self._left, self._most, self._seen = most_bytes, most_tokens, seen
        self._rest = b""
        self._ended = False
        self._offset = 0
        self.id = self.model = self.fingerprint = ""
        self.finish: str | None = None
        self.prompt_tokens = self.tokens = 0

    @property
    def ended(self) -> bool:
        """Whether the end was announced."""
        return self._ended

    def feed(self, data: bytes) -> tuple[list[Delta], bool]:
        """Read what came in.

        Returns:
            The pieces, none of them with a finish reason, and whether there was an event.

        Raises:
            UpstreamLost: `upstream_invalid`, `upstream_incomplete`.
        """
        self._left -= len(data)
        if self._left < 0:
            raise invalid("its answer is larger than `answer_kib`")
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            raise invalid(f"one line of its answer is longer than {_MOST_LINE} bytes")
        found: list[Delta] = []
        live = False
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"error:"):
                raise _broken(line[6:].decode("utf-8", "replace"))
            if line.startswith(b"data:"):
                live = True
                piece = self._event(line[5:].strip())
                if piece is not None:
                    found.append(piece)
            elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise invalid("its answer is no stream of events")
        return found, live

    def last(self) -> Delta:
        """The last piece, after the last byte.

        Raises:
            UpstreamLost: `upstream_incomplete` for an answer that has no finish reason.
        """
        if self._rest.strip() or self.finish is None:
            raise UpstreamLost(
                "upstream_incomplete", "The upstream ended its answer without a finish reason."
            )
        if self._seen is not None:
            self._seen.add(self.id)
        return Delta("", 0, self.finish, prompt=self.prompt_tokens)

    def _event(self, data: bytes) -> Delta | None:
        if data == b"[DONE]":
            self._ended = True
            return None
        if self._ended:
            raise invalid("an event follows the end of its answer")
        event = _object(data)
        if (error := event.get("error")) is not None:
            raise _broken(error.get("message", "") if isinstance(error, dict) else str(error))
        self._name(event)
        self._count(event.get("usage"))
        choices = event.get("choices")
        if not isinstance(choices, list) or len(choices) > 1:
            raise invalid("an event has no list of one choice")
        return self._choice(choices[0]) if choices else None

    def _name(self, event: dict[str, Any]) -> None:
        found = event.get("id")
        if not isinstance(found, str) or not found or len(found) > 256:
            raise invalid("an event has no id")
        if not self.id:
            if self._seen is not None and found in self._seen:
                raise invalid("its answer has the id of an earlier one")
            self.id = found
        if found != self.id:
            raise invalid("an event belongs to another answer")
        self.model = str(event.get("model") or self.model)[:256]
        self.fingerprint = str(event.get("system_fingerprint") or self.fingerprint)[:256]

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        prompt, tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if type(prompt) is int and 0 <= prompt < 1 << 31:
            self.prompt_tokens = prompt
        if type(tokens) is int and 0 <= tokens < 1 << 31:
            self.tokens = min(tokens, self._most)

    def _choice(self, choice: Any) -> Delta | None:
        if not isinstance(choice, dict) or choice.get("index", 0) != 0:
            raise invalid("an event has a choice that was not asked for")
        delta = choice.get("delta")
        text = choice.get("text") if delta is None else _content(delta)
        logprobs = self._logprobs(choice.get("logprobs"))
        if text is not None and not isinstance(text, str):
            raise invalid("the text of an event is no text")
        if self.finish is not None and (text or logprobs):
            raise invalid("text follows the finish reason")
        finish = choice.get("finish_reason")
        if finish is not None:
            if finish not in _FINISHES:
                raise UpstreamLost(
                    "upstream_incomplete",
                    f"The upstream ended its answer with {visible(str(finish))[:40]!r}.",
                )
            self.finish = finish
        if not text and not logprobs:
            return None
        count = max(1, len(logprobs))
        self.tokens = min(self.tokens + count, self._most)
        return Delta(text or "", count, logprobs=logprobs)

    def _logprobs(self, found: Any) -> tuple[TokenLogprob, ...]:
        try:
            read = tokens_of(found, self._offset)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise invalid("the log-probabilities of an event cannot be read") from error
        self._offset += sum(len(token.token.decode("utf-8", "replace")) for token in read)
        return read


def tokens_of(found: Any, offset: int = 0) -> tuple[TokenLogprob, ...]:
    """The log-probabilities of an answer in either of the two forms of the API.

    Raises:
        TypeError, ValueError, KeyError, AttributeError, IndexError: they are in neither.
    """
    if not found:
        return ()
    tokens: list[tuple[bytes, float | None, tuple[tuple[bytes, float], ...]]]
    if found.get("content") is not None:
        tokens = [
            (_token(one), float(one["logprob"]), _ranked(one.get("top_logprobs")))
            for one in found["content"]
        ]
    else:
        names = found.get("tokens") or []
        values = found.get("token_logprobs") or []
        tops = found.get("top_logprobs") or [{}] * len(names)
        if not len(names) == len(values) == len(tops):
            raise ValueError
        tokens = [
            (str(name).encode(), None if value is None else float(value), _mapped(top or {}))
            for name, value, top in zip(names, values, tops, strict=True)
        ]
    read = []
    for token, value, top in tokens:
        read.append(TokenLogprob(token, value, top, offset))
        offset += len(token.decode("utf-8", "replace"))
    return tuple(read)


def _token(one: Any) -> bytes:
    raw = one.get("bytes")
    return bytes(raw) if raw else str(one["token"]).encode()


def _ranked(found: Any) -> tuple[tuple[bytes, float], ...]:
    return tuple((_token(one), float(one["logprob"])) for one in (found or ())[:64])


def _mapped(found: Any) -> tuple[tuple[bytes, float], ...]:
    pairs = [(str(name).encode(), float(value)) for name, value in found.items()]
    return tuple(sorted(pairs, key=lambda pair: -pair[1])[:64])


def _content(delta: Any) -> Any:
    if not isinstance(delta, dict) or delta.get("tool_calls"):
        raise invalid("an event has no text to read")
    return delta.get("content")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise invalid("an event is not JSON") from error
    if not isinstance(found, dict):
        raise invalid("an event is no object")
    return found


def _broken(message: object) -> UpstreamLost:
    told = visible(str(message))[:200]
    return UpstreamLost("upstream_incomplete", f"The upstream ended its answer with: {told}")


def invalid(what: str) -> UpstreamLost:
    """The error for something that is no answer."""
    return UpstreamLost("upstream_invalid", f"The upstream was not understood: {what}.")
