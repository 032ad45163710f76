"""A short way to the end of a document that has begun.

Rules: a token is taken only if the document can still be closed within the tokens that are left;
else the next token of the way to the end replaces it. The way is greedy: closing tokens before
short ones before opening ones; a string that may not end yet continues by a phrase of its schema.
Where neither helps, the first token that may come is taken, and if that leads to no end, the last
one. Where no way is found, nothing is changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from appliance.engine.text.json_scanner import JsonText
from appliance.engine.text.phrases import spelled

_MOST: Final = 512  # tokens of a way
_CLOSING: Final = frozenset(b"]}")
_SHORT: Final = (b"0", b"1", b'""', b"null", b"true", b"false", b'"', b"[]", b"{}", b"[", b"{")
_QUOTE: Final = b'"'
STRUCTURE: Final = frozenset(b'"[]{},:')
"""Characters of a token that may change the distance to the end."""


class Endings:
    """The tokens that end things, best first.

    Attributes:
        quoting: tokens with a quotation mark; `whole`: those with two, in which a key can be.
    """

    def __init__(self, pieces: Sequence[bytes], end: int) -> None:
        self.end, self._pieces = end, pieces
        self._known = {piece: token for token, piece in reversed(list(enumerate(pieces)))}
        known = self._known
        self._longest = max(map(len, pieces), default=0)
        closing = [piece for piece in known if piece and _CLOSING.issuperset(piece)]
        ends = [piece for piece in known if piece[:1] == _QUOTE and _CLOSING.issuperset(piece[1:])]
        opens = sorted((p for p in known if p[:1] == _QUOTE and p not in ends), key=len)
        self._quoted = _longest(known, ends) + [known[piece] for piece in opens]
        self._plain = _longest(known, closing) + [known[p] for p in _SHORT if p in known]
        self.quoting = [token for token, piece in enumerate(pieces) if _QUOTE in piece]
        self.whole = [token for token in self.quoting if pieces[token].count(_QUOTE) > 1]

    def phrase(self, text: str) -> list[int]:
        """The tokens that end a string, with the quotation mark."""
        return list(spelled(text.encode() + _QUOTE, self._known, self._longest))

    def way(
        self, matcher: Any, text: JsonText, most: int, phrases: Sequence[Sequence[int]] = ()
    ) -> list[int] | None:
        """The tokens from here to the end of the document; None for more than `most` of them.

        Args:
            phrases: tokens that may end a string, the best first.
        """
        for first in (True, False):
            found = self._way(matcher.deep_copy(), text.copy(), most, phrases, first)
            if found is not None:
                return found
        return None

    def _way(
        self,
        matcher: Any,
        text: JsonText,
        most: int,
        phrases: Sequence[Sequence[int]],
        first: bool,
    ) -> list[int] | None:
        found: list[int] = []
        while not matcher.is_stopped():
            if len(found) > min(most, _MOST) or matcher.is_error():
                return None
            if matcher.is_accepting():
                found.append(self.end)
                break
            tokens = matcher.compute_ff_tokens() or self._next(matcher, text, phrases, first)
            if not tokens or not matcher.consume_tokens(tokens):
                return None
            found += tokens
            for token in tokens:
                text.feed(self._pieces[token])
            if text.repeated:
                return None
        return found if len(found) <= most else None

    def _next(
        self, matcher: Any, text: JsonText, phrases: Sequence[Sequence[int]], first: bool
    ) -> Sequence[int]:
        mask = matcher.compute_bitmask()
        for token in self._quoted if text.quoted else self._plain:
            if _allows(mask, token) and not self._repeats(text, (token,)):
                return (token,)
        for phrase in phrases if text.quoted else ():
            fits = _allows(mask, phrase[0]) and matcher.validate_tokens(phrase) == len(phrase)
            if fits and not self._repeats(text, phrase):
                return phrase
        count = 8 * len(mask)
        for token in range(count) if first else range(count - 1, -1, -1):
            if _allows(mask, token) and not self._leads_to_repeating(matcher, text, token):
                return (token,)
        return ()

    def _repeats(self, text: JsonText, tokens: Iterable[int]) -> bool:
        return bool(text.keys) and text.repeats(self._pieces[token] for token in tokens)

    def _leads_to_repeating(self, matcher: Any, text: JsonText, token: int) -> bool:
        if not text.begins_a_key:
            return self._repeats(text, (token,))
        after = matcher.deep_copy()
        return not after.consume_token(token) or self._repeats(
            text, (token, *after.compute_ff_tokens())
        )


def _allows(mask: bytes, token: int) -> int:
    return mask[token >> 3] >> (token & 7) & 1


def _longest(known: Mapping[bytes, int], pieces: Iterable[bytes]) -> list[int]:
    return [known[piece] for piece in sorted(pieces, key=lambda piece: (-len(piece), piece))]
