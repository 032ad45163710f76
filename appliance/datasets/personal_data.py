"""Personal data in texts: found by patterns, and by check digits where there are any.

Rules: a number counts only if its check digits hold; finds are never printed whole. Data without
check digits are found where something announces them or a list knows them: some of it is missed
(`MISSED`), and nothing found does not prove that there is nothing. Sources: ISO 13616 (IBAN, ISO
7064 mod 97), ISO/IEC 7812-1 (cards, Luhn), ITU-T E.123 and E.164 (telephone), and the publication
of each country's number.
"""

import bisect
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from appliance.datasets import addresses, names

NAME: Final = "name"
MISSED: Final = (
    "names that no list holds and nothing announces, nicknames, names in small letters, dates of "
    "birth and record numbers that nothing announces, addresses without a number"
)
"""Data that are not looked for."""


class PersonalDataFound(NamedTuple):
    """A find: its kind, and its place in the text."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[PersonalDataFound]:
    """Of overlapping finds the first kind stays."""
    taken: list[PersonalDataFound] = []
    for found in _candidates(text):
        at = bisect.bisect(taken, found.start, key=lambda other: other.start)
        before, after = taken[max(0, at - 1) : at], taken[at : at + 1]
        if all(found.start >= b.end for b in before) and all(found.end <= a.start for a in after):
            taken.insert(at, found)
    return taken


def _candidates(text: str) -> Iterator[PersonalDataFound]:
    for kind, pattern, holds in _PATTERNS:
        for match in pattern.finditer(text):
            part = min(1, pattern.groups)
            if holds(match[part]):
                yield PersonalDataFound(kind, *match.span(part))
    for span in names.spans(text):
        yield PersonalDataFound(NAME, *span)


def mask(text: str) -> str:
    """Every find is replaced by its kind in brackets."""
    pieces = []
    at = 0
    for kind, start, end in find(text):
        pieces += [text[at:start], f"[{kind.upper()}]"]
        at = end
    return "".join([*pieces, text[at:]])


def hint(text: str, found: PersonalDataFound) -> str:
    """A find with only its first and last two characters."""
    shown = text[found.start : found.end]
    return f"{shown[:2]}{'*' * max(1, len(shown) - 4)}{shown[-2:]}"


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c.isdigit()]


def _weighted(text: str, weights: tuple[int, ...]) -> int:
    return sum(d * w for d, w in zip(_digits(text), weights, strict=False))


def _luhn(text: str) -> bool:
    doubled = [d * 2 if n % 2 else d for n, d in enumerate(reversed(_digits(text)))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _card(text: str) -> bool:
    digits = "".join(c for c in text if c.isdigit())
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and _luhn(digits)


_IBAN_LENGTHS: Final = {
    "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15,
    "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip


def _iban(text: str) -> bool:
    compact = re.sub(r"\s", "", text).upper()
    if len(compact) != _IBAN_LENGTHS.get(compact[:2], 0):
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _german_tax(text: str) -> bool:
    """Steuer-Identifikationsnummer: ISO 7064 mod 11,10; one digit of the first ten repeats."""
    digits = _digits(text)
    if digits[0] == 0 or len(set(digits[:10])) not in (8, 9):
        return False
    product = 10
    for digit in digits[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == digits[10]


def _french_social(text: str) -> bool:
    """Numéro de sécurité sociale: 97 minus the number modulo 97; Corsica has letters."""
    compact = re.sub(r"[\s.]", "", text).upper().replace("2A", "19").replace("2B", "18")
    return compact.isdigit() and 97 - int(compact[:13]) % 97 == int(compact[13:])


def _spanish_id(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23."""
    compact = text.upper().replace("-", "").replace(" ", "")
    number = compact[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == compact[-1]


_ODD: Final = (
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
)
"""Values of digits and letters in odd places of a codice fiscale."""


def _italian_tax(text: str) -> bool:
    """Codice fiscale: the last letter checks the others."""
    code = text.upper()
    total = sum(
        _ODD["0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(c)]
        if n % 2 == 0
        else (int(c) if c.isdigit() else ord(c) - 65)
        for n, c in enumerate(code[:15])
    )
    return chr(65 + total % 26) == code[15]


def _dutch_citizen(text: str) -> bool:
    """Burgerservicenummer: the test of eleven."""
    return _weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and any(_digits(text))


def _belgian_register(text: str) -> bool:
    """Rijksregisternummer: 97 minus the number modulo 97, with a 2 before it since 2000."""
    digits = "".join(map(str, _digits(text)))
    return (
        any(97 - int(before + digits[:9]) % 97 == int(digits[9:]) for before in ("", "2"))
        and 1 <= int(digits[4:6]) <= 31
    )


def _polish_pesel(text: str) -> bool:
    """PESEL: weights 1, 3, 7, 9, and a month and day that exist."""
    digits = _digits(text)
    month, day = (digits[2] * 10 + digits[3]) % 20, digits[4] * 10 + digits[5]
    total = _weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))
    return 1 <= month <= 12 and 1 <= day <= 31 and total % 10 == 0


def _swiss_social(text: str) -> bool:
    """AHV number: the check digit of EAN-13."""
    return _weighted(text, (1, 3) * 6 + (1,)) % 10 == 0


def _swedish_person(text: str) -> bool:
    """Personnummer: Luhn over the last ten digits, and a date that exists."""
    digits = "".join(map(str, _digits(text)))[-10:]
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31 and _luhn(digits)


def _finnish_person(text: str) -> bool:
    """Henkilötunnus: the number modulo 31 as a letter."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10].upper()


def _british_health(text: str) -> bool:
    """NHS number: modulo 11."""
    rest = 11 - _weighted(text, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return rest % 11 == _digits(text)[9] and rest != 10


def _phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15


def _american_phone(text: str) -> bool:
    """North American numbering plan: neither area code nor exchange begins with 0 or 1."""
    digits = _digits(text)[-10:]
    return digits[0] > 1 and digits[3] > 1


def _record(text: str) -> bool:
    return len(_digits(text)) >= 3


def _always(_text: str) -> bool:
    return True


_FRENCH: Final = r"\b[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[ab]) ?\d{3} ?\d{3} ?\d\d\b"
_ABROAD: Final = r"(?<![\w.+-])(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w-])"
_AT_HOME: Final = (
    r"(?<![\w.,+-])(?-i:(?<![A-Z]{2} ))\(?0[1-9]\d{1,4}\)?[ /-]\d{3,8}(?:[ -]\d{2,5}){0,3}"
    r"(?![\w-]|[.,]\d)"
)
_AMERICAN: Final = r"(?<![\w.,+-])(?:1[ -])?(?:\(\d{3}\) ?|\d{3}-)\d{3}-\d{4}(?![\w-])"
_MONTH: Final = (
    "(?:jan|feb|mar|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|janv|f[eé]vr|avr|juil|ao[uû]"
    "|ene|abr|ago|dic)[a-zéû]*\\.?"
)
_DATE: Final = (
    rf"(?:\d{{1,2}}[./-]\d{{1,2}}[./-](?:19|20)?\d\d|(?:19|20)\d\d[-./]\d{{1,2}}[-./]\d{{1,2}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)?(?: de| of)? {_MONTH}(?: de)?,? (?:19|20)\d\d"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d)"
)
_BORN: Final = (
    r"\b(?:d\.?o\.?b\.?|date of birth|birth ?da(?:te|y)|born|geb(?:\.|oren)|geburts(?:datum|tag)"
    r"|né(?:e)? le|date de naissance|nacid[oa]|fecha de nacimiento|nat[oa] il|data di nascita"
    rf"|geboortedatum|urodzon[ya])[^\w\n]{{0,4}}(?:(?:is|on|am|el|le|the|:) ){{0,2}}({_DATE})(?!\d)"
)
_NUMBER: Final = r"(?:id|no|nr|n°|nº|num(?:ber|mer|éro|ero)?|card|#)"
_RECORD: Final = (
    rf"\b(?:(?:mrn|aktenzeichen|az\.)|(?:nhs|medical|health|patient|hospital|record|chart|file|case"
    r"|customer|client|account|acct|policy|claim|employee|personnel|staff|member|membership"
    r"|insurance|passport|licen[cs]e|permit|student|dossier|expediente|historia)"
    rf"(?: (?:record|file|card))?\.? ?{_NUMBER}|(?:patienten|fall|kunden|personal|konto"
    rf"|versicherten|versicherungs|vertrags|ausweis|mitglieds)-?{_NUMBER})[.:#]*"
    r"(?: (?:is|was|lautet))?[ :#]{0,3}([a-z]{0,4}[-/ ]?\d[\da-z]*(?:[-/.]?[\da-z]+){0,5})\b"
)
_PATTERNS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE), holds)
    for kind, pattern, holds in (
        ("e-mail", r"(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b", _always),
        ("iban", r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b", _iban),
        ("french-social-number", _FRENCH, _french_social),
        ("swiss-social-number", r"\b756\.?\d{4}\.?\d{4}\.?\d\d\b", _swiss_social),
        ("card", r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w-])", _card),
        ("italian-tax-code", r"\b[a-z]{6}\d\d[abcdehlmprst]\d\d[a-z]\d{3}[a-z]\b", _italian_tax),
        ("spanish-id", r"\b(?:\d{8}|[xyz]-?\d{7})-?[a-hj-np-tv-z]\b", _spanish_id),
        ("finnish-person-number", r"\b[0-3]\d[01]\d{3}[+a-]\d{3}[0-9a-y]\b", _finnish_person),
        ("belgian-register-number", r"\b\d\d\.\d\d\.\d\d-\d{3}\.\d\d\b", _belgian_register),
        ("swedish-person-number", r"\b(?:\d\d)?\d{6}[-+]\d{4}\b", _swedish_person),
        ("british-health-number", r"(?<!\+\d )(?<!\+\d\d )\b\d{3} \d{3} \d{4}\b", _british_health),
        ("us-social-number", r"\b(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}\b", _always),
        ("german-tax-number", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", _german_tax),
        ("polish-pesel", r"\b\d{11}\b", _polish_pesel),
        ("dutch-citizen-number", r"\bbsn[:. ]{0,3}\d{9}\b|\b\d{4}\.\d{2}\.\d{3}\b", _dutch_citizen),
        ("date-of-birth", _BORN, _always),
        ("record-number", _RECORD, _record),
        *(("address", pattern, _always) for pattern in addresses.PATTERNS),
        ("phone", _ABROAD, _phone),
        ("phone", _AMERICAN, _american_phone),
        ("phone", _AT_HOME, _phone),
    )
)
KINDS: Final = (*dict.fromkeys(kind for kind, _, _ in _PATTERNS), NAME)


def finds(texts: Iterable[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Names and hidden forms of finds, by kind."""
    collected: dict[str, list[tuple[str, str]]] = {}
    for name, text in texts:
        for found in find(text):
            collected.setdefault(found.kind, []).append((name, hint(text, found)))
    return dict(sorted(collected.items()))
