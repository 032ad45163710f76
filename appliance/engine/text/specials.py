"""Cuts a text at the special tokens of a vocabulary. Pure.

Rules: the result of llama.cpp's own search, in linear instead of quadratic time. Of texts that
overlap, the one that begins first is read, and of those the longest.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from appliance.engine.text.runs import check_runs
from appliance.engine.text.text_set import longest_of

_SPACES: Final = b" \t\n\v\f\r"
_RUN: Final = re.compile(rb"[ \t\n\v\f\r]*")


class Special(NamedTuple):
    """A special token.

    Attributes:
        text: its bytes, not empty.
        control: it is read only where control tokens are.
        left: it swallows the white space before it; `right`: after it.
    """

    token: int
    text: bytes
    control: bool = True
    left: bool = False
    right: bool = False


class Specials:
    """The special tokens of a vocabulary.

    Args:
        bounded: refuse words that are too long for its tokeniser (`runs`).
    """

    def __init__(self, specials: Iterable[Special], *, bounded: bool = False) -> None:
        self._bounded = bounded
        self._known = {special.text: special for special in specials if special.text}
        self._all = _expression(self._known)
        self._plain = _expression(t for t, s in self._known.items() if not s.control)

    def control_texts(self) -> list[bytes]:
        return [text for text, special in self._known.items() if special.control]

    def cut(self, text: bytes, *, control: bool) -> Iterator[bytes | int]:
        """The pieces of a text: special tokens by id, and the bytes between them; with `control`
        its control tokens, too.

        A word that is too long is `request_too_large`.
        """
        if self._bounded:
            check_runs(text)
        done = 0
        for found in (self._all if control else self._plain).finditer(text):
            if found.start() < done:  # the token before it has swallowed this white space
                continue
            special = self._known[found.group()]
            before = text[done : found.start()]
            if special.left:
                before = before.rstrip(_SPACES)
            if before:
                yield before
            yield special.token
            done = found.end()
            if special.right:
                done = _end_of_run(text, done)
        if done < len(text):
            yield text[done:]


def _end_of_run(text: bytes, start: int) -> int:
    run = _RUN.match(text, start)
    return run.end() if run else start


def _expression(texts: Iterable[bytes]) -> re.Pattern[bytes]:
    found = [text.decode("latin-1") for text in texts]  # a character for each byte
    return re.compile(longest_of(found).encode("latin-1") if found else b"(?!)")
