"""Reading the document of a result."""

from tui.view.document import count_of, ends, inner, measured, number, tables, text


def test_what_is_there_is_read_and_drawn() -> None:
    found = {"value": 0.5, "interval": [0.25, 0.75], "rows": [{"a": 1}, 2], "dev": {1: 2}}
    told, drawn = measured(found, "value", ascii_only=True)
    assert told == ("0.500", "0.250 to 0.750")
    assert drawn.plain.strip(" ") == "------O-----" and len(drawn.plain) == 22
    assert tables(found, "rows") == [{"a": 1}]
    assert inner(found, "dev") == {"1": 2}
    assert (text(found, "value"), count_of(1_000)) == ("0.5", "1 000")


def test_what_is_missing_or_of_another_form_is_a_dash_a_zero_or_empty() -> None:
    for found in ({}, {"value": "high", "interval": 3}, {"value": None, "interval": [1]}):
        assert measured(found, "value", ascii_only=True)[0] == ("0.000", "0.000 to 0.000")
        assert ends(found, "interval", 0.5) == (0.5, 0.5)
    assert tables({"rows": {"a": 1}}, "rows") == tables({}, "rows") == []
    assert inner({"dev": [1]}, "dev") == inner({}, "dev") == {}
    assert (text({}, "a"), number("a"), count_of("a"), count_of(1.5)) == ("-", 0.0, "-", "-")
