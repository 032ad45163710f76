"""Log-probabilities of tokens, and the prompt as part of an answer.

Rules: they come from the raw distribution. A value that no float or JSON number can hold is
`FLOOR`. Rows are scored a chunk at a time; nothing of the size prompt times vocabulary is ever
held. There is one entry for every token, the end token too: of an echoed answer those of the
prompt, the first one without a value, and the generated ones (lm-eval's `local-completions`).
"""

import codecs
import hashlib
import math
import struct
from collections.abc import Callable, Iterable
from collections.abc import Sequence as ReadOnly
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.engine.sampling import finite, largest
from appliance.types import TokenLogprob

FLOOR = -9999.0
CHOSEN: Final = struct.Struct("<IfQ")
"""A token of an answer as replays compare it: its id, its logit, and the sum of the row's bits.

Log-probabilities follow from the last two. The sum is of 64-bit numbers, modulo 2^64: it takes a
thousandth of the time that the log-probability takes. A token that a grammar forced has zeros.
"""


class Logprobs:
    """The log-probabilities of one answer, token by token.

    Args:
        count: alternatives to name for each token.
        label: the bytes of a token, the name of a control token.
    """

    def __init__(self, count: int, label: Callable[[int], bytes]) -> None:
        self._count = count
        self._label = label
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def score(self, logits: NDArray[np.float32] | None, token: int, text: bytes) -> TokenLogprob:
        """The entry of the next token.

        Args:
            logits: the row before it, shape (n_vocab,); None for a first token. Not changed.
        """
        offset = self._offset
        self._offset += len(self._decoder.decode(text))
        if logits is None:
            return TokenLogprob(self._label(token), None, (), offset)
        row, total = normaliser(logits)
        best = largest(row, self._count) if self._count else ()
        top = tuple((self._label(int(i)), _value(row[i], total)) for i in best)
        return TokenLogprob(self._label(token), _value(row[token], total), top, offset)


class Echo:
    """The prompt at the beginning of an answer.

    Args:
        silent: the begin token, which has no text where it comes first.
        logprobs: scores the tokens; None reports the text only.
        first: tokens before this one are neither reported nor scored.
    """

    def __init__(
        self,
        prompt: ReadOnly[int],
        label: Callable[[int], bytes],
        *,
        silent: int,
        logprobs: Logprobs | None,
        first: int = 0,
    ) -> None:
        self._first = first
        self._prompt = tuple(prompt)
        self._label = label
        self._silent = silent
        self._logprobs = logprobs
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._told = first

    @property
    def scores(self) -> bool:
        """True if every position of the prompt must be computed with logits."""
        return self._logprobs is not None and self._told < len(self._prompt)

    def before(self, start: int) -> int:
        """Positions from `start` on that come before all whose logits it needs."""
        return max(0, self._first - 1 - start)

    def wanted(self, start: int, end: int) -> range:
        """Positions in the range whose logits it needs: those before a token that was not reported
        yet.
        """
        if not self.scores:
            return range(0)
        return range(max(start, self._told - 1), min(end, len(self._prompt) - 1))

    def tell(self, end: int, logits: NDArray[np.float32]) -> tuple[str, tuple[TokenLogprob, ...]]:
        """New text and entries once all positions before `end` are computed.

        Args:
            logits: rows of the positions `wanted`, shape (rows, n_vocab).
        """
        upto = len(self._prompt) if self._logprobs is None else min(end + 1, len(self._prompt))
        pieces = [self._text(place) for place in range(self._told, upto)]
        entries: list[TokenLogprob] = []
        if self._logprobs is not None:
            first = max(self._told, 1)
            for place, text in zip(range(self._told, upto), pieces, strict=True):
                row = logits[place - first] if place else None
                entries.append(self._logprobs.score(row, self._prompt[place], text))
        self._told = max(self._told, upto)
        final = self._told == len(self._prompt)
        return self._decoder.decode(b"".join(pieces), final=final), tuple(entries)

    def _text(self, place: int) -> bytes:
        token = self._prompt[place]
        return b"" if place == 0 and token == self._silent else self._label(token)


def bits(logits: NDArray[np.float32]) -> int:
    """The sum of the bits of a row, two numbers at a time, modulo 2^64."""
    even = len(logits) & ~1
    found = int(np.add.reduce(logits[:even].view(np.uint64)))
    return found if even == len(logits) else (found + int(logits.view(np.uint32)[-1])) % (1 << 64)


def digest_of(texts: Iterable[ReadOnly[int]]) -> bytes:
    """SHA-256 of the token ids of texts in turn, 32 bits each."""
    told = hashlib.sha256()
    for tokens in texts:
        told.update(np.asarray(tokens, np.uint32).tobytes())
    return told.digest()


def normaliser(logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """The row, made finite if need be, and the logarithm of the sum of its exponentials."""
    highest = float(logits.max())
    if not math.isfinite(highest):
        logits = finite(logits)
        highest = float(logits.max())
        if highest == -math.inf:
            return logits, 0.0
    return logits, highest + math.log(np.exp(logits.astype(np.float64) - highest).sum())


def _value(logit: np.float32, total: float) -> float:
    return max(float(logit) - total, FLOOR)
