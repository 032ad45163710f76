"""What the routes screen says of shares, certificates and thresholds."""

from tests.tui.staging import CURVE, ROUTES
from tui.text import cell
from tui.view import routes as view


def plain(parts: object) -> str:
    return "\n".join(part.plain for part in parts)  # type: ignore[attr-defined]


def test_a_row_says_whether_the_first_stage_may_answer() -> None:
    certified, other = (" ".join(cell(part).plain for part in view.row(one)) for one in ROUTES)
    assert "may answer" in certified and "4.6%" in certified and "87%" in certified
    assert "route_not_certified" in other and "4.6%" not in other


def test_a_route_that_never_answered_has_no_shares() -> None:
    fresh = [stage.model_copy(update={"answers": 0}) for stage in ROUTES[0].stages]
    found = ROUTES[0].model_copy(update={"stages": fresh})
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
    said = plain(view.detail(ROUTES[0], CURVE, 100, ascii_only=False))
    assert "which promise nothing" in said and "0.0% to 3.0%" in said
    broken = {"curve": [[1, 2], "x"]}
    assert "What if" not in plain(view.detail(ROUTES[0], broken, 100, ascii_only=False))
