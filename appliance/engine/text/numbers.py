"""Numbers of a JSON text end: those that have grown long do where they can.

Rules: a number has at most 16 digits, leading zeros and its exponent counted; its exponent has at
most 2. It may be longer where a grammar lets nothing else follow.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.engine.text.json_scanner import DIGITS, NUMBER


class Growing:
    """The least number of digits that each token adds to a number."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        adds = np.fromiter(map(_adds, pieces), np.int16, len(pieces))
        self._tokens = np.flatnonzero(adds)
        self._adds = adds[self._tokens]
        self.most = int(self._adds.max(initial=0))

    def beyond(self, room: int) -> NDArray[np.intp]:
        return self._tokens[self._adds > room]


def _adds(piece: bytes) -> int:
    size = next((at for at, byte in enumerate(piece) if byte not in NUMBER), len(piece))
    digits = sum(byte in DIGITS for byte in piece[:size])
    return max(digits, 1) if size else 0  # after a point or an e a digit must come
