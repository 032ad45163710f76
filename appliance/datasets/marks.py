"""Marks of a sealed split's groups and items, readable only by those who have these, too.

Rules:
- A group has a mark of its name within its dataset and, with enough text, one of its content. An
  item has a keyed mark of its plain text and keyed bands of its near-duplicates.
- The key is the site's (`trust.policy_file.marks_key`): marks of its appliances compare, and
  without it no person can try texts against them.
- Two items are the same where their texts are, or where `ALIKE` of their bands agree: at a
  similarity of 0.9 in 99 of 100 pairs, at 0.8 in 38, at 0.7 in one.
Source: Broder, SEQUENCES 1997, for the bands.
"""

import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.datasets.duplicates import plain, shape
from appliance.datasets.minhash import bands

ALIKE: Final = 9
_WHOLE: Final = 32
_BAND: Final = 12
"""Hex digits of an item's mark and of each of its bands."""
_COMMON: Final = 50
"""A band that more items of a split have is of a form, not of a text."""


@dataclass(frozen=True)
class SplitMarks:
    """The marks of a split.

    Attributes:
        items: of its items, each whole mark followed by its bands, `:` between.
    """

    names: frozenset[str]
    contents: frozenset[str]
    items: tuple[str, ...] = ()

    @property
    def groups(self) -> frozenset[str]:
        return self.names | self.contents


def of_item(key: bytes, text: str) -> str:
    """Marks of an item; of an empty text one without bands."""
    flat = plain(text)
    whole = _keyed(key, b"item", flat.encode())[:_WHOLE]
    found = (_keyed(key, b"band", part)[:_BAND] for part in bands(shape(flat)))
    return ":".join((whole, *found))


def whole(marks: str) -> str:
    """The mark without its bands."""
    return marks.partition(":")[0]


def parts(marks: str) -> tuple[str, ...]:
    """All marks."""
    return tuple(marks.split(":"))


def shared(items: Sequence[str], known: Mapping[str, Iterable[int]]) -> list[str]:
    """Items that another split has, too; `known` is by mark."""
    held: dict[str, list[int]] = defaultdict(list)
    for mark, places in known.items():
        held[mark] = list(places)
    return [marks for marks in items if _shared(marks, held)]


def _shared(marks: str, held: Mapping[str, Sequence[int]]) -> bool:
    first, *others = parts(marks)
    if held.get(first):
        return True
    agree: Counter[int] = Counter()
    for band in others:
        places = held.get(band, ())
        if len(places) <= _COMMON:
            agree.update(places)
    return bool(agree) and max(agree.values()) >= ALIKE


def _keyed(key: bytes, kind: bytes, value: bytes) -> str:
    return hmac.new(key, kind + b"\0" + value, "sha256").hexdigest()
