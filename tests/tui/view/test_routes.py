"""Shares, certificates and thresholds in words."""

from appliance.wire.admin.results import CalibrationResult
from tests.tui.scripted import job
from tests.tui.staging import CURVE, ROUTES
from tui.text import cell
from tui.view import routes as view


def plain(parts: object) -> str:
    return "\n".join(part.plain for part in parts)  # type: ignore[attr-defined]


def test_a_row_says_whether_the_first_stage_may_answer() -> None:
    certified, other = (" ".join(cell(part).plain for part in view.row(one)) for one in ROUTES)
    assert "may answer" in certified and " 5.0 %" in certified and "87 %" in certified
    assert "route_not_certified" in other and "4.6 %" not in other


def test_a_route_that_never_answered_has_no_shares() -> None:
    fresh = [stage.model_copy(update={"answers": 0}) for stage in ROUTES[0].stages]
    found = ROUTES[0].model_copy(update={"stages": fresh, "deferred": 0})
    assert cell(view.row(found)[5]).plain == "-"


def test_a_suspended_certificate_says_why() -> None:
    gone = ROUTES[0].certificates[0].model_copy(update={"suspended": "the monitor found errors"})
    found = ROUTES[0].model_copy(
        update={"certificates": [gone], "certified": False, "why": "route_certificate_suspended"}
    )
    said = plain(view.detail(found, None, 100, ascii_only=True))
    assert "the monitor found errors" in said and "route_certificate_suspended" in said
    assert "What if" not in said


def test_a_curve_is_of_open_items_and_a_damaged_one_is_left_out() -> None:
    said = plain(
        view.detail(ROUTES[0], CalibrationResult.model_validate(CURVE), 100, ascii_only=False)
    )
    assert "which promise nothing" in said and "0.0 to 3.0 %" in said
    broken = job(31, kind="route", result={**CURVE, "curve": [[1, 2], "x"]})
    found = broken.came_to(CalibrationResult)
    assert found is None
    assert "What if" not in plain(view.detail(ROUTES[0], found, 100, ascii_only=False))


def test_more_groups_are_those_that_are_missing() -> None:
    """547 groups of 1,471 lack 924; a total is not called more."""
    newest = ROUTES[1].certificates[0].model_copy(update={"groups": 547, "groups_needed": 1471})
    found = ROUTES[1].model_copy(update={"certificates": [newest]})
    said = plain(view.detail(found, None, 100, ascii_only=True))
    assert "about 924 more groups" in said and "1 471" not in said
    one = newest.model_copy(update={"groups_needed": 548})
    found = found.model_copy(update={"certificates": [one]})
    assert "about 1 more group" in plain(view.detail(found, None, 100, ascii_only=True))


def test_what_is_deferred_was_asked_too() -> None:
    """A route that answers 44 of 100 requests answers 44 %, though every answer is the stage's."""
    stages = [s.model_copy(update={"answers": 44 if s.name == "small" else 0})
              for s in ROUTES[0].stages]  # fmt: skip
    found = ROUTES[0].model_copy(update={"stages": stages, "deferred": 56})
    assert cell(view.row(found)[5]).plain == "44 %"
    said = plain(view.detail(found, None, 100, ascii_only=True))
    assert "44 %" in said and "100 %" not in said


def test_one_is_no_plural() -> None:
    assert view.summary(ROUTES[:1], 1).plain.startswith("1 route, ")
    assert view.summary(ROUTES, 2).plain.startswith("2 routes, ")
