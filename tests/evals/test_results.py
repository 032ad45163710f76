"""The result: every candidate with its figures, digests of all, and no result of half an answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.evidence import Retrieval
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.plan import Candidate, EvaluationPlan
from appliance.evals.report import page
from appliance.evals.results import Measured, concluded
from appliance.reports.page import render
from appliance.statistics.groups import GroupMean
from appliance.statistics.proportions import Interval
from appliance.wire.admin.results import PacksMeasured
from tests.browser import chromium
from tests.conftest import need_tool
from tests.evals.example import outcomes
from tests.evals.orders import TASK
from tests.evals.test_plan import subject

ASKS = (
    TASK.split("[output]")[0]
    + '[output]\nform = "text"\ncollection = "manuals"\n[gate]'
    + (TASK.split("[gate]")[1])
)
LINEAR = Candidate("logistic regression", "baseline")
SMOL = Candidate("smol", "model", "smol", "d" * 64)
PACKS = {
    "smol": PacksMeasured.model_validate({
        "general": {"quality": 0.4, "interval": [0.3, 0.5], "items": 80},
        "refusals": {"quality": 0.5, "interval": [0.4, 0.6], "items": 40},
        "frozen": {"en": {"nats_per_token": 2.5}},
    })
}  # fmt: skip


def result(
    *measured: Measured, packs: Any = PACKS, retrieval: Retrieval | None = None, toml: str = TASK
) -> tuple[dict[str, Any], str]:
    found = subject(toml)
    items = tuple(replace(found.items[0], id=o.item, group=o.group) for o in outcomes(0))
    plan = EvaluationPlan(
        "t", "d", tuple(m.candidate for m in measured), ("Something was not measured.",)
    )
    told, evaluated = concluded(
        "2026-11-27T10:00:00Z", EvaluationWanted("t", "d"), replace(found, items=items), plan,
        measured, packs, retrieval,
    )  # fmt: skip
    return told.document, render(page(evaluated))


def both() -> tuple[Measured, Measured]:
    return (
        Measured(LINEAR, tuple(outcomes(80)), 0.5, 40_960),
        Measured(SMOL, tuple(outcomes(100, seconds=0.2)), 24, 600 << 20, 60.0),
    )


def test_every_candidate_has_its_figures() -> None:
    told, _ = result(*both())
    linear, smol = told["candidates"]
    assert (linear["kind"], linear["model"], linear["memory_bytes"]) == ("baseline", None, 40_960)
    assert (smol["kind"], smol["model"], smol["documents_s"]) == ("model", "smol", 5)
    assert (linear["joules"], smol["joules"]) == (None, 0.5)
    assert set(smol["slices"]) == {"north", "south"} and len(smol["slices"]["north"]) == 3
    assert smol["adherence"][0] == 0  # "a" and "b" are no labels of the task
    assert (told["candidate"], told["baseline"]) == ("smol", "logistic regression")
    assert told["notes"] == ["Something was not measured."]
    assert told["digests"]["model smol"] == "d" * 64
    assert told["digests"]["outcomes of smol"] == smol["outcomes"]
    (compared,) = told["comparisons"]
    assert (compared["gained"], compared["lost"]) == (20, 0)
    assert compared["gained_items"] == [f"i{n:03}" for n in range(80, 100)]


def test_a_confidence_in_one_label_is_held_against_no_metric_of_three() -> None:
    """The control has a calibration error."""
    for metric, told in (("exact_match", True), ("top_3", False)):
        found, _ = result(*both(), toml=TASK.replace("exact_match", metric))
        assert all((row["calibration_error"] is not None) == told for row in found["candidates"])


def test_the_page_has_speed_memory_flips_slices_packs_and_notes() -> None:
    _, html = result(*both())
    for text in (
        "Speed and memory", "600 MiB", "40.0 KiB", "Flips", "20 items that smol", "i080",
        "All candidates by stratum", "Packs", "2.5000", "never that it lost little",
        "Not measured", "Something was not measured.", "in form", "macro-F1",
    ):  # fmt: skip
        assert text in html


def test_what_was_found_and_cited_is_in_the_result_and_on_the_page() -> None:
    half = GroupMean(0.5, Interval(0.4, 0.6), 60, 0.1)
    found = Retrieval("manuals", "vectors", 3, (4, 5), 120, half, half, half)
    linear, smol = both()
    cited = tuple(replace(o, cited=1, cited_right=1, cited_removed=3) for o in smol.outcomes)
    told, html = result(linear, replace(smol, outcomes=cited), retrieval=found, toml=ASKS)
    assert told["retrieval"]["generation"] == 5 and told["retrieval"]["recall_given"][0] == 0.5
    assert told["notes"][1] == "The collection manuals changed while it was searched."
    rows = {row["name"]: row for row in told["candidates"]}
    assert (rows["smol"]["evidence"][0], rows["smol"]["verified"][0]) == (1, 0.25)
    assert rows["logistic regression"]["evidence"] is None
    for text in ("Evidence", "search by vectors", "of the 3 passages", "relevant document"):
        assert text in html
    assert "Evidence" not in result(linear, smol)[1]


def test_a_missing_outcome_is_no_result() -> None:
    linear, smol = both()
    with pytest.raises(EvaluationRefused) as caught:
        result(linear, replace(smol, outcomes=smol.outcomes[:-1]))
    assert caught.value.code == "outcomes_incomplete"


def test_the_page_fits_every_screen(tmp_path: Path) -> None:
    linear, smol = both()
    long = replace(smol, outcomes=tuple(replace(o, expected="x" * 900) for o in smol.outcomes))
    (tmp_path / "report.html").write_text(result(linear, long)[1], encoding="utf-8")
    with chromium(need_tool("chromium")) as tab:
        for width in (360, 1024, 1920):
            tab.command(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=800, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            tab.open(f"file://{tmp_path}/report.html", "footer p")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.complaints == []
