"""The number of items that may lack an answer for a reason of ours."""

from appliance.looks.lost_items import MOST_UNASKED, OURS, UNCOUNTED, interruption


def test_more_than_a_fiftieth_of_either_side_ends_a_look() -> None:
    assert MOST_UNASKED == 0.02
    assert interruption({"orders": 2, "before": 0}, 100) == ""
    told = interruption({"orders": 0, "before": 3}, 100)
    assert told == "Could not be asked: 0 of 100 items of orders, 3 of 100 items of before."


def test_what_was_erased_counts_nowhere_and_is_asked_again_by_nobody() -> None:
    assert {"erased"} == UNCOUNTED - OURS
