"""Patterns of postal addresses: a street with a number, or a box; a town alone is none.

Rule: a German place, way or ring is also a part of a machine; it counts with its town only.
"""

from typing import Final

_TOWN: Final = r"[A-ZÀ-Ý][a-zß-ÿ'\u2019.-]+"
_CITY: Final = rf"(?-i:{_TOWN}(?:[ -]{_TOWN}){{0,2}})"
_NAMED: Final = r"(?-i:[A-Z][a-z'\u2019.][\w'\u2019.]* )"
_KIND: Final = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|terrace"
    r"|parkway|pkwy|highway|hwy|crescent|close|square|way|circle|trail)\b\.?"
)
_ENGLISH: Final = (
    rf"(?<![\w.,/-])\d{{1,5}}[a-z]? (?-i:(?:[NSEW]\.? )?)(?:{_NAMED}|\d+(?:st|nd|rd|th) )"
    rf"{_NAMED}{{0,3}}{_KIND}(?-i: [NS][EW]\b)?"
    r"(?:,? (?:apt|apartment|unit|suite|ste|flat|#)\.? ?\w+)?"
    rf"(?:,?\s{_CITY})?(?:,? (?-i:[A-Z]{{2}}) \d{{5}}(?:-\d{{4}})?)?"
    r"(?:,? (?-i:[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b)?"
)
_GERMAN: Final = (
    r"(?-i:\b[A-ZÄÖÜ][\w.-]{0,40}(?: [A-ZÄÖÜ][\w.-]{0,40})?[ -]?(?:[Ss]tra(?:ß|ss)e|[Ss]tr\."
    r"|[Aa]llee|[Gg]asse|[Dd]amm|[Uu]fer|[Ss]traat|laan|gracht|kade)) \d{1,4} ?(?:[a-h]\b)?"
    rf"(?:,?\s(?:[a-z]{{1,2}}-)?\d{{4,5}} ?(?:[A-Z]{{2}} )?{_CITY})?"
)
_GERMAN_PLACE: Final = (
    r"(?-i:\b(?:[A-ZÄÖÜ]\w{0,20} ){0,2}(?:[A-ZÄÖÜ][\w-]{0,40})?)"
    r"(?:weg|platz|ring|hof|markt|tor|berg)"
    rf" \d{{1,4}} ?[a-h]?,?\s\d{{4,5}} {_CITY}"
)
_FRENCH: Final = (
    r"\b\d{1,4}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|chemin|impasse|allée|quai|cours)"
    rf" (?:de la |de l['\u2019]|du |des |de |d['\u2019])?{_CITY}(?:,? \d{{5}} {_CITY})?"
)
_SOUTHERN: Final = (
    r"\b(?:calle|avenida|avda\.|plaza|paseo|via|viale|piazza|corso|rua)"
    rf" (?:de la |de los |de |del |dei |da )?{_CITY},? (?:n[ºo°]\.? ?)?\d{{1,4}}"
    rf"(?:,? \d{{5}} {_CITY})?"
)
_BOX: Final = r"\b(?:p\. ?o\.? box|po box|postfach) \d{1,7}\b"
PATTERNS: Final = (_ENGLISH, _GERMAN, _GERMAN_PLACE, _FRENCH, _SOUTHERN, _BOX)
"""To be compiled without regard to case."""
