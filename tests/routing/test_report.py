"""The page of a calibration."""

from typing import Any

import pytest

from appliance.reports.page import render
from appliance.routing import report
from appliance.routing.certifying import Origin, SealedVerdict
from appliance.routing.report import RoutePageFacts
from appliance.wire.admin.results import CalibrationResult
from tests.trust.statements.test_route import wanted

RESULT = CalibrationResult.model_validate({
    "verdict": "certified", "reason": "", "alpha": 0.05, "delta": 0.05, "coverage": 0.69,
    "groups": 660, "threshold": 0.52, "certificate": "ab" * 32, "avoided": [0.68, 0.64, 0.72],
    "doubtful": "larger",
    "difference": [0.0, -0.02, 0.02], "origins": [], "ablation": {"all": 0.02, "top alone": 0.03},
    "curve": [[900_000, 0.2, 0.01, 0.0, 0.04], [500_000, 1.0, 0.12, 0.1, 0.15]], "noise": 0.01,
    "answer": "Certified: all of it.", "reach": 0.31, "unclaimed": ["desk"],
    "company": False, "weight": "groups", "group_from": "key", "effective": 660, "route": "r",
    "margin": 0.05, "small": "s", "larger": "l",
})  # fmt: skip


def page(**changes: Any) -> str:
    origins = changes.pop("origins", ())
    made_of, result = {"route": "1" * 64}, RESULT.having(**changes)
    return render(
        report.page(RoutePageFacts(wanted(), result, "2026-11-27", made_of, origins=origins))
    )


def test_a_certificate_has_its_figures_and_its_curve() -> None:
    html = page()
    for shown in (
        "Certified: all of it.",
        "69 %",
        "68 %",
        "64 % to 72 %",
        "<svg",
        "top alone",
        "31 %",
        "at most 5 %",
        "desk",
    ):
        assert shown in html
    assert "Remedy" not in html
    assert "certified: confidence 0.520" in html and 'class="answer good"' in html


def test_a_page_says_whether_there_is_room_for_company() -> None:
    assert "Room is left" not in page()
    assert "log-odds move by up to 0.5" in page(company=True)


def test_a_page_tells_how_many_certificates_there_are_at_which_delta() -> None:
    deltas = (50_000, 100_000, 50_000)
    html = render(report.page(RoutePageFacts(wanted(), RESULT, "2026-11-27", {}, deltas)))
    assert "365 days: 3 (2 at delta 0.05, 1 at delta 0.1)" in html
    assert "0.2 of them may be false" in html


def test_what_is_unstable_shows_the_times_and_what_helps() -> None:
    origin = Origin("2008-12-05", 300, None, 0.093, 0.168, 0, 0)
    html = page(
        verdict="not_certifiable", reason="unstable over time", certificate=None, avoided=None,
        origins=(origin,),
    )  # fmt: skip
    assert 'class="answer no"' in html and "certified: confidence" not in html
    for shown in ("2008-12-05", "9.3 %", "16.8 %", "Remedy", "Fit the first stage again"):
        assert shown in html


def test_a_refusal_without_a_look_is_a_page_without_a_curve() -> None:
    html = page(
        verdict="not_certifiable", reason="labels disagree", certificate=None, avoided=None,
        curve=(), ablation={}, difference=None, doubtful=None,
    )  # fmt: skip
    assert "<svg" not in html and "settle what they mean" in html


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (SealedVerdict("", 900_000, 0.69, 660, 0.049), "69 % of the groups are accepted"),
        (SealedVerdict("too many errors", None, 0.0, 660, 0.09), "upper limit"),
        (
            SealedVerdict(
                "worse than the larger stage", None, 0.0, 660, 0.04, None, (-0.1, -0.14, -0.06)
            ),
            "-10 points, at the least -14",
        ),
        (
            SealedVerdict(
                "unstable over time", None, 0.0, 284, 0.09,
                origins=(
                    Origin("2008-12-05", 300, None, 0.093, 0.168, 0, 0),
                    Origin("2009-06-09", 451, 764_190, 0.09, 0.1, 72, 18),
                ),
            ),
            "18 of 72 accepted answers were wrong",
        ),
    ],
)  # fmt: skip
def test_a_verdict_is_told_with_its_figures(verdict: SealedVerdict, said: str) -> None:
    assert said in report.figures(verdict)


def test_missing_groups_are_told() -> None:
    assert "40 to 90 more" in report.sentence("underpowered", "x", 660, "40 to 90 more")
    assert report.sentence("too many errors", "x", 660, "").endswith("660 groups.")
    assert "at most 5 % of accepted answers" in report.sentence("", "x", 660, "", 0.05)
