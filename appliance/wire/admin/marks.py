"""The mark of each state, the same wherever a person sees one.

Rules: a state is always a word with a mark, never a colour only; the marks are ASCII, so that a
serial line, a log and a screen reader have them too.
"""

from typing import Final

GOOD: Final = "+"
UNDER_WAY: Final = "~"
NEEDS_A_PERSON: Final = "!"
AT_REST: Final = "-"

_MARKS: Final = {
    GOOD: "serving approved verified ready ok valid live running pass certified busy same",
    UNDER_WAY: "loading starting restarting quarantined connecting stale queued waiting warning"
    " pausing cancelling paused underpowered not_certifiable acknowledged",
    NEEDS_A_PERSON: "refused refusing suspended revoked expired missing failed down denied"
    " incompatible error critical interrupted fail tripped suspect unreachable unlearnt unapproved"
    " broken differs",
}


def mark(state: str) -> str:
    """The mark of a state, whatever its case; an unknown state is at rest."""
    word = state.lower()
    return next((sign for sign, words in _MARKS.items() if word in words.split()), AT_REST)
