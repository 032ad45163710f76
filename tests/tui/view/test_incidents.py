"""Rows and details of incidents."""

from appliance.wire.admin.incidents import Incident
from tui.text import cell
from tui.view import incidents as view

OPEN = Incident(
    id=3, code="disk_low", level="warning", message="900 MiB are free.", next="Free some.",
    since="2026-11-29T10:00:00Z", times=2,
)  # fmt: skip
TAKEN = OPEN.model_copy(update={"acked_by": "ada", "note": "ordered"})
OVER = OPEN.model_copy(update={"ended": "2026-11-29T11:00:00Z"})
NOW = 1_795_953_600.0


def row(one: Incident) -> str:
    return " ".join(cell(part).plain for part in view.row(one, NOW))


def test_a_row_says_the_level_or_who_takes_care() -> None:
    assert row(OPEN).startswith("~ warning") and "900 MiB" in row(OPEN)
    assert "acknowledged" in row(TAKEN) and "ada" in row(TAKEN)
    assert "over" in row(OVER)


def test_the_summary_counts_those_without_a_person() -> None:
    assert view.summary([OPEN, TAKEN, OVER], 3).plain.split("  ")[0].startswith("2 open incidents")
    assert "1 without a person" in view.summary([OPEN, TAKEN, OVER], 1).plain


def test_the_details_have_the_next_step() -> None:
    said = "\n".join(part.plain for part in view.detail(TAKEN, 80))
    assert "! " not in said  # red is for what nobody takes care of
    worst = OPEN.model_copy(update={"level": "critical"})
    assert "! 900 MiB" in view.detail(worst, 80)[0].plain
    assert "Free some." in said and "ada: ordered" in said and "2 times" in said
