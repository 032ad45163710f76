"""Usage in words."""

from tests.tui.staging import USED
from tui.text import line
from tui.view import usage


def test_a_sum_and_its_course_over_time() -> None:
    assert len(usage.row(USED[0])) == len(usage.COLUMNS)
    assert line(*usage.row(USED[1])).plain.endswith("warehouse  373  ! 2  27 280  9 610  217.0")
    assert "6 914 requests" in usage.summary(USED, "app", "hour").plain
    name, *bars = usage.over_time(USED, "planner", 90, ascii_only=True)
    assert name.plain == "planner  requests" and len(bars) == 4
    assert sum("#" * 30 in bar.plain for bar in bars) == 1  # the busiest is a full bar
