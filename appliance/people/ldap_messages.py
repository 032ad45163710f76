"""The few LDAP messages of a lookup, as bytes. Pure.

Rules: filters are made of values and never of text, so nothing in a name has to be escaped. Length
and depth are bounded. A referral is a refusal; a reference to another host is left out.

Sources: RFC 4511 (messages), 4514 (names), 2696 (pages), X.690 (BER); MS-ADTS 3.1.1.3.4.4.3 (the
rule in chain).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from appliance.errors import Unavailable

MOST_MESSAGE: Final = 256 << 10
"""Bytes of one message."""
LONGEST_NAME: Final = 4 << 10
"""Bytes of a distinguished name."""
_MOST_PARTS: Final = 4_096
_PAGED: Final = b"1.2.840.113556.1.4.319"
_IN_CHAIN: Final = b"1.2.840.113556.1.4.1941"
_SEQUENCE, _OCTETS, _INTEGER, _ENUM, _BOOLEAN, _CONTROLS = 0x30, 4, 2, 10, 1, 0xA0
_BIND, _UNBIND, _SEARCH = 0x60, 0x42, 0x63
_BOUND, _ENTRY, _DONE, _REFERENCE = 0x61, 0x64, 0x65, 0x73
_NEVER_ALIASES: Final = 0
_SUBTREE: Final = 2


class DirectoryError(Unavailable):
    """A directory that cannot be asked; its code is `people_unavailable`."""

    def __init__(self, problem: str) -> None:
        super().__init__("people_unavailable", f"The directory: {problem}.")


class BerElement(NamedTuple):
    """One element."""

    tag: int
    body: bytes


@dataclass(frozen=True)
class DirectoryEntry:
    """A found entry; its attributes' names are in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True)
class DirectoryResult:
    """The end of a bind or of one page.

    Attributes:
        bound: whether it is that of a bind.
        code: 0 is success.
        cookie: asks for the next page; empty on the last one.
    """

    bound: bool
    code: int
    cookie: bytes = b""


Answer: TypeAlias = DirectoryEntry | DirectoryResult | None


def equal(attribute: str, value: str) -> bytes:
    """The filter for entries whose attribute has a value."""
    return _made(0xA3, _octets(attribute), _octets(value))


def in_chain(attribute: str, dn: str) -> bytes:
    """The filter for entries that name a DN, also by entries between: Active Directory only."""
    return _made(0xA9, _made(0x81, _IN_CHAIN), _made(0x82, attribute.encode()),
                 _made(0x83, dn.encode()))  # fmt: skip


def every(*filters: bytes) -> bytes:
    """The filter of entries that match all of these."""
    return _made(0xA0, *filters)


def either(*filters: bytes) -> bytes:
    """The filter of entries that match one of these."""
    return _made(0xA1, *filters)


def bind(number: int, dn: str, password: str) -> bytes:
    """A simple bind. One without a name or a password would succeed as anonymous: refused."""
    if not dn or not password:
        raise DirectoryError("its account has no name or no password")
    return _message(number, _made(_BIND, _number(3), _octets(dn), _made(0x80, password.encode())))


def unbind(number: int) -> bytes:
    """The end of a connection."""
    return _message(number, _made(_UNBIND))


def search(
    number: int, base: str, wanted: bytes, attributes: Iterable[str], page: int, cookie: bytes
) -> bytes:
    """A search of all below a base, one page of it; aliases are not followed."""
    asked = _made(
        _SEARCH, _octets(base), _number(_SUBTREE, _ENUM), _number(_NEVER_ALIASES, _ENUM),
        _number(0), _number(0), _made(_BOOLEAN, b"\0"), wanted,
        _made(_SEQUENCE, *map(_octets, attributes)),
    )  # fmt: skip
    value = _made(_SEQUENCE, _number(page), _made(_OCTETS, cookie))
    control = _made(
        _SEQUENCE, _made(_OCTETS, _PAGED), _made(_BOOLEAN, b"\xff"), _made(_OCTETS, value)
    )
    return _message(number, asked, _made(_CONTROLS, control))


def size_of(head: bytes) -> tuple[int, int]:
    """The bytes of a message after its first two: those left of its length, and of its body, if
    known.
    """
    if head[0] != _SEQUENCE:
        raise DirectoryError("it does not speak LDAP")
    if head[1] < 0x80:
        return 0, head[1]
    if not 1 <= head[1] & 0x7F <= 4:
        raise DirectoryError("a message has no length")
    return head[1] & 0x7F, 0


def read(body: bytes, number: int) -> Answer:
    """The answer to request `number` in a message; None for a reference to another host.

    An answer to another request is refused.
    """
    try:
        return _answer(body, number)
    except ValueError as error:  # too few parts, or too many
        raise _unreadable() from error


def folded(dn: str) -> str:
    """A distinguished name for comparison: one spelling of escapes, blanks, ASCII letters.

    Other letters count as they are: a name that only looks alike is another one.
    """
    return _PIECE.sub(_one_spelling, dn).translate(_LOWER)


_PIECE: Final = re.compile(r"(?P<hex>(?:\\[0-9A-Fa-f]{2})+)|\\(?P<one>.)|(?P<cut> *[,+] *)", re.S)
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SPECIAL: Final = ',+"\\<>;# '


def _one_spelling(piece: re.Match[str]) -> str:
    if piece["cut"]:
        return piece["cut"].strip()
    meant = piece["one"] or ""
    if piece["hex"]:
        try:
            meant = bytes.fromhex(piece["hex"].replace("\\", "")).decode()
        except UnicodeDecodeError:
            return piece["hex"]
    return "".join("\\" + one if one in _SPECIAL else one for one in meant)


def _answer(body: bytes, number: int) -> Answer:
    said, operation, *controls = _elements(body)
    if _integer(said, _INTEGER) != number:
        raise DirectoryError("it ends the connection, or answers something else")
    if operation.tag == _ENTRY:
        return _entry(operation.body)
    if operation.tag in (_BOUND, _DONE):
        code, *_ = _elements(operation.body)
        cookie = b"".join(_cookie(one) for one in controls if one.tag == _CONTROLS)
        return DirectoryResult(operation.tag == _BOUND, _integer(code, _ENUM), cookie)
    if operation.tag != _REFERENCE:
        raise DirectoryError("it answers something else")
    return None


def _entry(body: bytes) -> DirectoryEntry:
    name, listed, *_ = _elements(body)
    found: dict[str, tuple[bytes, ...]] = {}
    for one in _elements(listed.body):
        kind, values = _elements(one.body)
        attribute = _text(kind).lower()
        if attribute in found:
            raise _unreadable()
        found[attribute] = tuple(value.body for value in _elements(values.body))
    return DirectoryEntry(_text(name), found)


def _cookie(controls: BerElement) -> bytes:
    for control in _elements(controls.body):
        kind, *rest = _elements(control.body)
        if kind.body == _PAGED and rest:
            ((_, value),) = _elements(rest[-1].body)
            _, cookie = _elements(value)
            return cookie.body
    return b""


def _elements(data: bytes) -> list[BerElement]:
    found: list[BerElement] = []
    at = 0
    while at < len(data):
        if len(found) >= _MOST_PARTS or at + 2 > len(data):
            raise _unreadable()
        tag, size = data[at], data[at + 1]
        at += 2
        if size >= 0x80:
            more = size & 0x7F
            size = int.from_bytes(data[at : at + more]) if 1 <= more <= 4 else len(data)
            at += more
        if tag & 0x1F == 0x1F or at + size > len(data):
            raise _unreadable()
        found.append(BerElement(tag, data[at : at + size]))
        at += size
    return found


def _integer(element: BerElement, tag: int) -> int:
    if element.tag != tag or not 1 <= len(element.body) <= 4:
        raise _unreadable()
    return int.from_bytes(element.body, signed=True)


def _text(element: BerElement) -> str:
    if element.tag != _OCTETS or len(element.body) > LONGEST_NAME:
        raise DirectoryError("an answer has no name, or a long one")
    try:
        return element.body.decode()
    except UnicodeDecodeError as error:
        raise DirectoryError("an answer has a name that is no text") from error


def _made(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def _number(value: int, tag: int = _INTEGER) -> bytes:
    return _made(tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _octets(text: str) -> bytes:
    return _made(_OCTETS, text.encode())


def _message(number: int, *parts: bytes) -> bytes:
    return _made(_SEQUENCE, _number(number), *parts)


def _unreadable() -> DirectoryError:
    return DirectoryError("an answer cannot be read")
