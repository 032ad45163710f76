"""A change that a person may make."""

import pytest

from tui.change import Answers, Blank, Change, name_blank, reason_blank
from tui.command import Report


def work(_answers: Answers, _report: Report) -> object:
    return None


CHANGE = Change("t", "r", "e", work, blanks=(name_blank("pump"), Blank("key", "Key", needed=True)))


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({}, "Type pump"), ({"name": "PUMP", "key": "k"}, "Type pump"),
        ({"name": "pump"}, "Key is needed"), ({"name": "pump", "key": "  "}, "Key is needed"),
        ({"name": "pump ", "key": "k"}, ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(answers: dict[str, str], wrong: str) -> None:
    assert CHANGE.wrong(answers).startswith(wrong)
    assert bool(CHANGE.wrong(answers)) is bool(wrong)


def test_a_reason_may_stay_empty() -> None:
    assert Change("t", "r", "e", work, blanks=(reason_blank(),)).wrong({}) == ""
