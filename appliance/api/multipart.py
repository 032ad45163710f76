"""`multipart/form-data`, read as it comes: names, files and texts in pieces. Pure.

Rules: nothing is kept but half of a boundary, and the head of one part. One part is one field.

Source: RFC 7578, multipart/form-data; RFC 2046, 5.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.errors import BadRequest

_MOST_PARTS: Final = 16
_LONGEST_HEAD: Final = 4_096
_BOUNDARY: Final = re.compile(
    r'multipart/form-data\s*;(?:.*;)?\s*boundary=("?)([0-9A-Za-z\'()+_,./:=? -]{1,70})\1\s*(?:;|$)',
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r'(?:^|[;\s])(name|filename)="([^"\r\n]*)"', re.IGNORECASE)


@dataclass(frozen=True)
class FormField:
    """The head of a part; `filename` is None for a text."""

    name: str
    filename: str | None


class FormReader:
    """Reads one form. Raises BadRequest (`invalid_form`)."""

    def __init__(self, content_type: str) -> None:
        found = _BOUNDARY.match(content_type)
        if found is None:
            raise _invalid("Content-Type names no boundary")
        self._mark = b"\r\n--" + found[2].encode()
        self._rest = bytearray(b"\r\n")  # before the first boundary there may be no line
        self._parts, self._inside, self._ended = 0, False, False

    def feed(self, data: bytes) -> Iterator[FormField | bytes]:
        """The heads of the parts that begin in the data, and pieces of the newest part."""
        self._rest += data
        while not self._ended:
            at = self._rest.find(self._mark)
            if at < 0:
                yield from self._content(max(0, len(self._rest) - len(self._mark)))
                return
            head = self._rest.find(b"\r\n\r\n", at + len(self._mark))
            tail = bytes(self._rest[at + len(self._mark) : at + len(self._mark) + 2])
            if len(tail) < 2 or (tail != b"--" and head < 0):
                if len(self._rest) - at > _LONGEST_HEAD:
                    raise _invalid("the head of a part is too long")
                yield from self._content(at)
                return
            yield from self._content(at)
            if tail == b"--":
                self._ended = True
                return
            yield self._field(bytes(self._rest[len(self._mark) : head - at]))
            del self._rest[: head - at + 4]
            self._inside = True

    def close(self) -> None:
        """Refuse a form that was cut off."""
        if not self._ended:
            raise _invalid("the form has no end")

    def _content(self, size: int) -> Iterator[bytes]:
        if size:
            piece = bytes(self._rest[:size])
            del self._rest[:size]
            if self._inside:
                yield piece

    def _field(self, head: bytes) -> FormField:
        self._parts += 1
        if self._parts > _MOST_PARTS or len(head) > _LONGEST_HEAD:
            raise _invalid(f"a form has at most {_MOST_PARTS} parts with short heads")
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                found = {key.lower(): text for key, text in _NAMED.findall(value)}
                if value.strip().lower().startswith("form-data") and found.get("name"):
                    return FormField(found["name"], found.get("filename"))
        raise _invalid("a part has no name")


def _invalid(why: str) -> BadRequest:
    return BadRequest("invalid_form", f"This is no multipart/form-data: {why}.")
