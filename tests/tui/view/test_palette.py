"""The meaning of typed letters."""

from tui.view.palette import Choice, ranked

CHOICES = [
    Choice("Requests", "3", "go requests"),
    Choice("Suspend", "a s", "do suspend", why_not="it is retired"),
    Choice("Trust", "x", "go trust"),
    Choice("Write", "w", "verb write"),
]


def test_letters_may_be_left_out_and_what_is_possible_comes_first() -> None:
    assert [c.words for c in ranked(CHOICES, "rqs")] == ["Requests"]
    found = [c.words for c in ranked(CHOICES, "s")]
    assert found[-1] == "Suspend" and set(found) == {"Requests", "Trust", "Suspend"}
    assert ranked(CHOICES, "") == CHOICES
    assert ranked(CHOICES, "xyz") == []
