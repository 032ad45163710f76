"""The sanitiser of untrusted text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.text import between, many, percent, visible

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HOSTILE = [
    "\x1b]0;owned\x07",  # renames the terminal's window
    "\x1b[2J",  # clears the screen
    "\x9b31m",  # C1 control sequence introducer
    "a\rb",  # overwrites the line
    "user\u202etxt.exe",  # right-to-left override
    "ad\u200bmin",  # zero width space
    "\ufeffname",
    "line\u2028separator",
    "\x00",
]


@given(st.text(st.characters(codec=None)))
def test_nothing_that_is_shown_can_hide_or_steer(text: str) -> None:
    assert not {unicodedata.category(character) for character in visible(text)} & HIDDEN


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=2_000))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_escapes(text: str) -> None:
    assert visible(text).isprintable()
    assert "\\" in visible(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_hostile_set_is_hostile(text: str) -> None:
    # The control: without the sanitiser these would reach the terminal.
    assert not text.isprintable()


def test_an_escape_names_the_character() -> None:
    assert visible("\x1b") == "\\x1b"
    assert visible("\u202e") == "\\u202e"
    assert visible("\U000e0001") == "\\U000e0001"


@given(st.text(), st.integers(0, 50))
def test_the_cut_is_marked_and_counts_characters_of_the_source(text: str, limit: int) -> None:
    shown = visible(text, limit=limit)
    assert shown.endswith("…") or len(text) <= limit
    assert shown.removesuffix("…") == visible(text[:limit]).removesuffix("…")


def test_line_ends_stay_only_where_they_are_wanted() -> None:
    assert visible("a\n\tb", newlines=True) == "a\n\tb"
    assert visible("a\n\tb") == "a\\x0a\\x09b"
    assert visible("a\rb", newlines=True) == "a\\x0db"


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(1, "entry", "1 entry"), (0, "entry", "0 entries"), (1_200, "day", "1,200 days")],
)
def test_a_count_agrees_with_its_noun(number: int, noun: str, words: str) -> None:
    assert many(number, noun) == words


def test_shares_read_well() -> None:
    assert [percent(v) for v in (0.5, 0.875, 0, 0.9996)] == ["50 %", "87.5 %", "0 %", "100 %"]
    assert between(0.81, 0.934) == "81 % to 93.4 %"
