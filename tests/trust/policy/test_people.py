"""Names of people, and look-alikes."""

import pytest

from appliance.trust.policy import people

# The Cyrillic and Greek letters are written as escapes, since nobody could tell them apart here.
TWINS = {
    "case": ("Alice", "alice"),
    "blanks": ("Ann Lee", "Ann  Lee"),
    "no blank": ("Ann Lee", "AnnLee"),
    "a wide letter": ("Alice", "A\uff4cice"),
    "a Cyrillic letter": ("Alice", "Al\u0456ce"),
    "Cyrillic capitals": ("TOM", "\u0422\u041e\u041c"),
    "Cyrillic throughout": ("Bob", "\u0412\u043e\u0432"),
    "Greek capitals": ("ANNA", "\u0391\u039d\u039d\u0391"),
    "a capital I": ("Alice", "AIice"),
    "a digit": ("Alice", "A1ice"),
}


@pytest.mark.parametrize("pair", TWINS.values(), ids=TWINS)
def test_what_looks_like_another(pair: tuple[str, str]) -> None:
    assert people.lookalikes(["Zoe", *pair]) == tuple(sorted(pair))


def test_who_is_another() -> None:
    names = [
        "Alice", "Alina", "Bob", "Rob", "José", "Jose", "Ana", "Anna", "Иван", "Iwan",
        "approver-1", "approver-2", "Åsa", "Asa", "Müller", "Muller", "王伟", "王芳",
    ]  # fmt: skip
    assert people.lookalikes(names) is None
    assert people.lookalikes(["Alice", "Alice"]) is None  # the same one


@pytest.mark.parametrize(
    "name",
    ["", " ", "Alice ", " Alice", "Al\u202eice", "Al\u200bice", "Jose\u0301", "A\nB", "A" * 101],
)
def test_what_names_nobody(name: str) -> None:
    assert not people.usable(name)
    assert people.usable("Alice Müller-王")
