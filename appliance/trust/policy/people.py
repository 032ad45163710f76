"""Names of people: which texts may be one, and which two look alike.

Rules: names that differ in case, in blanks, in the form of a letter, or in a letter of another
alphabet that looks the same, are one: one name in two spellings must not meet a threshold of two.

Source: the idea of Unicode TS #39, section 4 (skeletons), with the letters of its table that are
found in names: Cyrillic and Greek ones that look Latin.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_NAME: Final = 100
_LOOKS: Final = str.maketrans(
    "авеһіјкмнорԛсѕтухԝь" "αβεζηικμνορτυχ" "i\u01311|0",
    "abehljkmhopqcstyxwb" "abezhlkmnoptyx" "llllo",
)  # fmt: skip


def usable(name: str) -> bool:
    """True if a text may name a person."""
    normal = unicodedata.normalize("NFC", name.strip()) == name
    return normal and bool(name) and name.isprintable() and len(name) <= MAX_NAME


def lookalikes(names: Iterable[str]) -> tuple[str, str] | None:
    """Two different names that a reader would take for one; None when there are none."""
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        skeleton = _skeleton(name)
        if skeleton in seen:
            return seen[skeleton], name
        seen[skeleton] = name
    return None


def _skeleton(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(plain.split()).translate(_LOOKS)
