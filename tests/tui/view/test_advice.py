"""The advice screen's words."""

from tests.tui.scripted import WALL, advice
from tui.text import line, lines
from tui.view import advice as view


def test_a_row_has_a_cell_for_each_column() -> None:
    for each in (advice("orders"), advice("orders", verdict="try_tuning", options="odd")):
        assert len(view.row(each, WALL)) == len(view.COLUMNS)
    shown = line(*view.row(advice("orders"), WALL)).plain
    assert "baseline" in shown and "340.64" in shown
    assert "try tuning" in line(*view.row(advice("orders", verdict="try_tuning"), WALL)).plain


def test_the_answer_its_options_and_what_would_change_it() -> None:
    shown = lines(view.detail(advice("orders"), 140)).plain
    for words in (
        "Don't use a language model", "220.64 to 580.64", "0.710 to 0.770", "11 ms",
        "domain.quality", "not enough data", "+2.7 points",
    ):  # fmt: skip
        assert words in shown, words
    odd = advice("orders", options=[{"interval": [1], "cost_month": 3}], flips_if=3, notes="x")
    assert "Don't" in lines(view.detail(odd, 80)).plain


def test_the_summary_counts() -> None:
    assert view.summary([advice("a")], 1).plain == "1 advised"
    assert "0 shown" in view.summary([advice("a")], 0).plain
