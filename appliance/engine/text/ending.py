"""Documents end: the shortest way to the end of a document that has begun.

Rules: a token is taken only if the document can still be closed within the tokens that are left;
where it cannot, the next token of the way to the end is taken in its place. The way is a greedy
one: what closes before what is short before what opens. Where none is found, as in a string whose
pattern wants much, nothing is changed, and the answer is cut off as before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from appliance.engine.text.numbers import JsonNumbers

_MOST: Final = 512  # tokens of a way
_CLOSING: Final = frozenset(b"]}")
_SHORT: Final = (b"0", b"1", b'""', b"null", b"true", b"false", b'"', b"[]", b"{}", b"[", b"{")
STRUCTURE: Final = frozenset(b'"[]{},:')
"""What a token has that may change how far the end is."""


class Endings:
    """The tokens that end things, best first.

    Args:
        pieces: the bytes of each token.
        end: the token that ends an answer.
    """

    def __init__(self, pieces: Sequence[bytes], end: int) -> None:
        self._end, self._pieces = end, pieces
        known = {piece: token for token, piece in reversed(list(enumerate(pieces)))}
        quoting = [piece for piece in known if piece.startswith(b'"')]
        closing = [piece for piece in known if piece and _CLOSING.issuperset(piece)]
        self._quoted = _longest(known, quoting)
        self._plain = _longest(known, closing) + [known[p] for p in _SHORT if p in known]

    def way(self, matcher: Any, text: JsonNumbers, most: int) -> list[int] | None:
        """The tokens from here to the end of the document; None for more than `most` of them.

        Args:
            matcher: is used up.
            text: what was written so far; is used up.
        """
        found: list[int] = []
        while not matcher.is_stopped():
            if len(found) > min(most, _MOST) or matcher.is_error():
                return None
            if matcher.is_accepting():
                found.append(self._end)
                break
            tokens = matcher.compute_ff_tokens()
            if not tokens:
                token = self._next(matcher.compute_bitmask(), text.quoted)
                tokens = [] if token is None else [token]
            if not tokens or not matcher.consume_tokens(tokens):
                return None
            found += tokens
            for token in tokens:
                text.feed(self._pieces[token])
        return found if len(found) <= most else None

    def _next(self, mask: bytes, quoted: bool) -> int | None:
        for token in self._quoted if quoted else self._plain:
            if mask[token >> 3] >> (token & 7) & 1:
                return token
        for place, byte in enumerate(mask):
            if byte:
                return place * 8 + (byte & -byte).bit_length() - 1
        return None


def _longest(known: Mapping[bytes, int], pieces: Iterable[bytes]) -> list[int]:
    """Their tokens, those first that close most."""
    return [known[piece] for piece in sorted(pieces, key=lambda piece: (-len(piece), piece))]
