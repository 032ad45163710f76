"""Names of people in texts: by a preceding title, by a list of common names, by an announcement.

Rules: a given name of the list that is also a word, a month or a place counts only before a family
name; words in capitals count where both names are known. Names in small letters, nicknames, and
unlisted names without an announcement are not found.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

_WORD: Final = r"(?:(?:d|l|O)['\u2019])?[A-ZÀ-ÖØ-ÞŁŚŻ][\w'\u2019]*(?:-[A-ZÀ-ÖØ-Þ][\w'\u2019]*)*"
_BETWEEN: Final = r",? (?:[A-Z]\. |(?:von|van|de|del|della|di|da|der|den|dos|la|zu|al|bin) )*"
_RUN: Final = re.compile(rf"(?<![\w@.-]){_WORD}(?:{_BETWEEN}{_WORD})*(?![\w@])")
_TITLED: Final = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Herrn?|Frau|Fräulein|Mme|Madame|Mlle|Monsieur"
    r"|Señora?|Sra?\.|Sig\.|Signora?|Dhr\.|Mevr(?:ouw)?)\.?(?: (?:med|Dr|Prof)\.)* "
    rf"((?:[A-Z]\. ?){{0,2}}(?:(?:von|van|de|der|den|di|da|del|la|zu) ){{0,2}}{_WORD}(?: {_WORD})?)"
)
_ANNOUNCED: Final = re.compile(
    r"(?i:\b(?:(?:patient|customer|full|last|first|family|sur|vor|nach|contact)?[ -]?name|patient"
    r"|caller|contact|insured|next of kin|emergency contact|signed by|signed|gez\.|reported by"
    r"|called by|ask for|ansprechpartner(?:in)?|kunde|kundin|nom|nombre|paziente|regards,?"
    r"|sincerely,?|gr[uü](?:ß|ss)e?n?,?|cordialement,?|saludos,?))"
    rf"(?::[ \t]*|[ \t]*\n+| )({_WORD}(?:{_BETWEEN}{_WORD}){{0,2}})"
)
_LOUD: Final = re.compile("[A-Z]{2}")
_PLACES: Final = frozenset({"San", "Santa", "Sankt", "Saint", "St"})
"""Words that make a place of a name."""
_NEVER: Final = frozenset(
    "the a an and or of in on at by for to is no not none unknown dear please thanks thank you "  # noqa: SIM905
    "department dept team service support street road avenue hospital clinic university gmbh ag "
    "inc ltd llc co company corporation corp foundation software systems group board office center "
    "centre desk plant line works monday tuesday wednesday thursday friday saturday sunday january "
    "february march april may june july august september october november december".split()
)
"""Words with a capital that are no part of a name."""


class _Names(NamedTuple):
    given: frozenset[str]
    unsure: frozenset[str]
    family: frozenset[str]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Beginnings and ends of names; they may overlap."""
    for match in _TITLED.finditer(text):
        yield match.span(1)
    for match in _ANNOUNCED.finditer(text):
        start, end = match.span(1)
        words = match[1].replace(",", "").split()
        if _announced(words):
            yield start, end
    for match in _RUN.finditer(text):
        yield from _listed(match[0], match.start())


def _announced(words: list[str]) -> bool:
    known = _names()
    if any(word.casefold().rstrip(".") in _NEVER or _LOUD.search(word) for word in words):
        return False
    return len(words) > 1 or words[0] in known.given | known.unsure | known.family


def _listed(run: str, offset: int) -> Iterator[tuple[int, int]]:
    words = [(match[0], *match.span()) for match in re.finditer(_WORD, run)]
    at = 0
    while at < len(words):
        if words[at][0] in _PLACES:
            at += 2
            continue
        length = _length([word for word, _, _ in words[at : at + 4]], run, words[at][2])
        if length:
            yield offset + words[at][1], offset + words[at + length - 1][2]
        at += length or 1


def _length(words: list[str], run: str, end: int) -> int:
    known = _names()
    first, following = _title(words[0]), words[1:]
    second = _title(following[0]) if following else ""
    if run[end : end + 1] == ",":  # Berg, Anna
        return 2 if first in known.family and second in known.given | known.unsure else 0
    loud = words[0].isupper() and len(words[0]) > 1
    if loud and second not in known.family:
        return 0
    sure = all(part in known.given for part in first.split("-"))
    last = _title(words[2]) if len(second) == 1 and len(words) > 2 else second
    if not sure and not (first in known.unsure and last in known.family):
        return 0
    between = second in known.given or len(second) == 1
    if between and len(words) > 2 and _family(words[2]):
        return 3
    return 2 if second and _family(second) else 1


def _family(word: str) -> bool:
    return len(word) > 1 and word.casefold() not in _NEVER


def _title(word: str) -> str:
    return word.title() if word.isupper() else word


@cache
def _names() -> _Names:
    source = resources.files(__package__).joinpath("names.txt").read_text(encoding="utf-8")
    lines = (line.split(": ", 1) for line in source.splitlines() if not line.startswith("#"))
    found = {kind: frozenset(words.split()) for kind, words in lines}
    return _Names(found["given"], found["unsure"], found["family"])
