"""A value with its interval, in words and drawn."""

from tui.view.intervals import drawn_column, interval_cell, measured


def test_a_value_is_told_and_drawn_on_the_scale_of_its_column() -> None:
    value, ends, drawn = measured(0.5, (0.25, 0.75), ascii_only=True)
    assert (value, ends) == ("0.500", "0.250 to 0.750")
    assert drawn.plain.strip(" ") == "------O-----" and len(drawn.plain) == 22
    assert drawn_column(1).width == 22
    assert interval_cell(0.0, 0.0, 0.0, ascii_only=True).plain.startswith("O")
