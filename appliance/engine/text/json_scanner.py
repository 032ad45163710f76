"""A JSON text, followed byte by byte: its strings, its numbers, and the keys of its objects.

Rules: only numbers are outside strings and begin with a digit; outside JSON (tags of calls) there
are no quotes and no brackets. Keys are compared as they are read, not as they are spelled. Pure.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

MOST_DIGITS: Final = 16
MOST_IN_EXPONENT: Final = 2
DIGITS: Final = frozenset(b"0123456789")
_POWER: Final = frozenset(b"eE")
NUMBER: Final = DIGITS | _POWER | frozenset(b"+-.")
_QUOTE, _ESCAPE, _COMMA = b'"\\,'
_OPEN, _LIST, _CLOSE, _END = b"{[}]"


class JsonText:
    """Follows a JSON text.

    Attributes:
        repeated: whether an object has got the same key twice.
    """

    def __init__(self) -> None:
        self._quoted = self._escaped = self._number = self._power = False
        self._digits = self._powers = 0
        self._open: list[frozenset[str] | None] = []  # keys of each open object; None for an array
        self._awaits = False  # whether the next string is a key
        self._key: bytes | None = None  # of the key that is being written
        self.repeated = False

    def copy(self) -> "JsonText":
        made = JsonText.__new__(JsonText)
        made.__dict__.update(self.__dict__)
        made._open = self._open[:]
        return made

    @property
    def quoted(self) -> bool:
        return self._quoted

    @property
    def room(self) -> int | None:
        """Digits that may still come; None where no number has begun."""
        if not self._number:
            return None
        left = MOST_DIGITS - self._digits
        return min(left, MOST_IN_EXPONENT - self._powers) if self._power else left

    @property
    def keys(self) -> frozenset[str]:
        """Of the innermost object."""
        return (self._open[-1] if self._open else None) or frozenset()

    @property
    def begins_a_key(self) -> bool:
        """True if the text ends in a key that may become one that its object has."""
        if self._key is None:
            return False
        begun = self._key.decode("utf-8", "ignore")
        return "\\" in begun or any(key.startswith(begun) for key in self.keys)

    def repeats(self, pieces: Iterable[bytes]) -> bool:
        tried = self.copy()
        for piece in pieces:
            tried.feed(piece)
        return tried.repeated

    def feed(self, text: bytes) -> None:
        for byte in text:
            if self._quoted:
                self._in_string(byte)
            elif self._number and byte in NUMBER:
                self._digits += byte in DIGITS
                self._powers += self._power and byte in DIGITS
                self._power = self._power or byte in _POWER
            else:
                self._quoted, self._number = byte == _QUOTE, byte in DIGITS
                self._power, self._digits, self._powers = False, int(self._number), 0
                self._structure(byte)

    def _in_string(self, byte: int) -> None:
        self._quoted = self._escaped or byte != _QUOTE
        self._escaped = not self._escaped and byte == _ESCAPE
        if self._key is None:
            return
        if self._quoted:
            self._key += bytes((byte,))
            return
        name, self._key = _read(self._key), None
        self.repeated = self.repeated or name in self.keys
        self._open[-1] = self.keys | {name}

    def _structure(self, byte: int) -> None:
        if byte == _QUOTE:
            self._key, self._awaits = (b"" if self._awaits else None), False
        elif byte in (_OPEN, _LIST):
            self._awaits = byte == _OPEN
            self._open.append(frozenset() if self._awaits else None)
        elif byte in (_CLOSE, _END):
            self._awaits = False
            del self._open[-1:]
        elif byte == _COMMA:
            self._awaits = bool(self._open) and self._open[-1] is not None


def repeating(text: JsonText, tokens: Sequence[int], pieces: Sequence[bytes]) -> list[int]:
    """The tokens that would give an object a key twice."""
    return [token for token in tokens if text.repeats((pieces[token],))]


def _read(key: bytes) -> str:
    """A key as it is read; an invalid one as it is spelled."""
    try:
        return str(json.loads(b'"' + key + b'"', strict=False))
    except ValueError:
        return key.decode("utf-8", "replace")
