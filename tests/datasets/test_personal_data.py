"""Personal data: each kind by a number that checks, and by the same number with a digit changed."""

import pytest

from appliance.datasets.personal_data import KINDS, find, finds, hint, mask
from tests.datasets.planted import CLEAN, HELD_OUT, KNOWN

REAL = {
    "e-mail": ["anna.berg@werk.example", "x+y@a-b.co.uk"],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
    ],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "german-tax-number": ["86095742719", "47 036 892 816"],
    "french-social-number": ["2 55 08 14 168 025 38", "255081416802538"],
    "spanish-id": ["12345678Z", "X1234567L"],
    "italian-tax-code": ["RSSMRA85T10A562S"],
    "dutch-citizen-number": ["BSN 111222333"],
    "belgian-register-number": ["85.07.30-033.28"],
    "polish-pesel": ["44051401359"],
    "swiss-social-number": ["756.9217.0769.85"],
    "swedish-person-number": ["811218-9876"],
    "finnish-person-number": ["131052-308T"],
    "british-health-number": ["943 476 5919"],
    "us-social-number": ["078-05-1120"],
    "address": ["12 Main Street", "Lindenstraße 12, 50667 Köln", "Postfach 1187"],
    "name": ["Rebecca Lawson", "Berg, Anna"],
    "phone": [
        "(415) 555-2671",
        "415-555-2671",
        "1-415-555-2671",
        "+49 211 123456",
        "+1 (415) 555-2671",
        "0211 4567890",
        "0049 211 123456",
    ],
}
CASES = [(kind, text) for kind, texts in REAL.items() for text in texts]
ANNOUNCED = {"date-of-birth", "record-number"}
UNCHECKED = {"e-mail", "phone", "us-social-number", "address", "name"}
CHECKED = [(k, t) for k, t in CASES if k not in UNCHECKED]


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_found_and_masked(kind: str, text: str) -> None:
    whole = f"Call before: {text}, thanks"
    found = find(whole)
    assert [f.kind for f in found] == [kind]
    assert mask(whole) == f"Call before: [{kind.upper()}], thanks"


@pytest.mark.parametrize(("kind", "text"), CHECKED)
def test_a_digit_that_does_not_check(kind: str, text: str) -> None:
    place = max(n for n, c in enumerate(text) if c.isdigit())
    wrong = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    assert kind not in [f.kind for f in find(f"Call before: {wrong}, thanks")]


def test_every_kind_has_an_example() -> None:
    assert set(REAL) | ANNOUNCED == set(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "SHD0026 - REPLACE  N.O 5 TRACK ROLLER R.",
        "part 1234567890 rev 3, 2010-05-17 10:30:00",
        "0.25 mm play, 1200 rpm, 24.5 kg, order 4500123456",
        "10.0.0.1 port 8080 pid 12345",
        "1111 1111 1111 1111",
        "e-mail me at home",
    ],
)
def test_what_is_none(text: str) -> None:
    assert find(text) == []
    assert mask(text) == text


def test_what_is_told_hides_the_middle() -> None:
    text = "to anna.berg@werk.example now"
    (found,) = find(text)
    assert hint(text, found) == "an" + "*" * 18 + "le"
    assert finds([("i1", text), ("i2", "nothing")]) == {"e-mail": [("i1", hint(text, found))]}


def test_masking_twice_changes_nothing_more() -> None:
    once = mask("anna@werk.example, +49 211 123456")
    assert once == mask(once) == "[E-MAIL], [PHONE]"


def found_in(text: str, kind: str, part: str) -> bool:
    start = text.index(part)
    return any(f.kind == kind and f.start <= start and f.end >= start + len(part)
               for f in find(text))  # fmt: skip


def test_recall_on_what_was_planted() -> None:
    """docs/datasets.md has the second figure."""
    assert all(found_in(text, kind, part) for kind, part, text in KNOWN)
    seen = sum(found_in(text, kind, part) for kind, part, text in HELD_OUT)
    assert (seen, len(HELD_OUT)) == (40, 50)


@pytest.mark.parametrize("text", CLEAN)
def test_precision_on_what_nobody_is_named_in(text: str) -> None:
    assert find(text) == []


def test_a_zip_code_is_no_telephone_number() -> None:
    assert [f.kind for f in find("59 Temple Place, Suite 330, Boston, MA 02111-1307")] == [
        "address"
    ]
    assert find("in MA 02111-1307, as ever") == []


def test_hostile_texts_are_read_in_a_line() -> None:
    """Each pattern is bounded."""
    for text in ("A-" * 20_000, "San Francisco " * 4_000, "Mr. A. " * 6_000, "1 Aa " * 8_000):
        assert len(find(text * 2)) <= 2 * len(find(text)) + 1
