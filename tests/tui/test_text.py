"""Text on its way to a widget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.text import visible
from tests.test_text import HOSTILE
from tui.text import cell, lines, state


@pytest.mark.parametrize("text", [*HOSTILE, "bad [/oops]", "[bold]x", "[link=x]y[/]"])
def test_hostile_text_and_markup_are_shown_as_they_are(text: str) -> None:
    assert cell(text).plain == visible(text)
    assert not cell(text).spans and not lines(text).spans


@given(st.text())
def test_a_cell_is_one_line(text: str) -> None:
    assert len(cell(text).plain.splitlines()) <= 1


@given(st.lists(st.text(), min_size=1))
def test_a_text_cannot_make_lines_of_its_own(texts: list[str]) -> None:
    assert lines(*texts).plain.count("\n") == len(texts) - 1


def test_a_long_text_is_cut() -> None:
    assert cell("x" * 10_000).plain == "x" * 100 + "…"


def test_a_state_is_a_mark_and_a_word() -> None:
    assert state("serving").plain == "+ serving"
    assert state("refused").plain == "! refused"
