"""Numbers of a JSON text end: where they could end and have grown long, they do.

Rules: a number has at most 16 digits, leading zeros and its exponent counted, which is as many as
a 64-bit float can tell apart; its exponent has at most 2, so that it fits into one. Where a grammar
lets nothing but a longer number follow, it may be longer: the schema asked for it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_DIGITS: Final = 16
MOST_IN_EXPONENT: Final = 2
_DIGITS: Final = frozenset(b"0123456789")
_POWER: Final = frozenset(b"eE")
_NUMBER: Final = _DIGITS | _POWER | frozenset(b"+-.")
_QUOTE, _ESCAPE = b'"\\'


class Growing:
    """For each token, how many digits more a number has with it at least.

    Args:
        pieces: the bytes of each token.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        adds = np.fromiter(map(_adds, pieces), np.int16, len(pieces))
        self._tokens = np.flatnonzero(adds)
        self._adds = adds[self._tokens]
        self.most = int(self._adds.max(initial=0))

    def beyond(self, room: int) -> NDArray[np.intp]:
        """The tokens that need more room."""
        return self._tokens[self._adds > room]


def _adds(piece: bytes) -> int:
    size = next((at for at, byte in enumerate(piece) if byte not in _NUMBER), len(piece))
    digits = sum(byte in _DIGITS for byte in piece[:size])
    return max(digits, 1) if size else 0  # after a point or an e a digit must come


class JsonNumbers:
    """Follows a JSON text, in which only numbers stand outside strings and begin with a digit."""

    def __init__(self) -> None:
        self._quoted = self._escaped = self._number = self._power = False
        self._digits = self._powers = 0

    @property
    def quoted(self) -> bool:
        """Whether a string has begun and not ended."""
        return self._quoted

    @property
    def room(self) -> int | None:
        """Digits that may still come; None where no number has begun."""
        if not self._number:
            return None
        left = MOST_DIGITS - self._digits
        return min(left, MOST_IN_EXPONENT - self._powers) if self._power else left

    def feed(self, text: bytes) -> None:
        """Go on by what was written."""
        for byte in text:
            if self._quoted:
                self._quoted = self._escaped or byte != _QUOTE
                self._escaped = not self._escaped and byte == _ESCAPE
            elif self._number and byte in _NUMBER:
                self._digits += byte in _DIGITS
                self._powers += self._power and byte in _DIGITS
                self._power = self._power or byte in _POWER
            else:
                self._quoted, self._number = byte == _QUOTE, byte in _DIGITS
                self._power, self._digits, self._powers = False, int(self._number), 0
