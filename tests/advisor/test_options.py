"""Measurements of this appliance: candidates of an evaluation, arrivals of the log."""

from typing import Any

import pytest

from appliance.advisor.options import (
    MeasuredFacts,
    OptionMeasured,
    arrivals,
    joined,
    of_evidence,
    per_doubling,
    told,
)
from appliance.advisor.questions import read
from appliance.evals import evidence_reader
from appliance.wire.admin.results import EvaluationResult

HOUR = 3_600_000_000


def from_evaluation(result: dict[str, Any], adapters: tuple[str, ...] = ()) -> MeasuredFacts:
    return of_evidence(
        evidence_reader.of_evaluation(EvaluationResult.model_validate(result)), adapters
    )


def row(name: str, kind: str, quality: float, *, model: str = "", mib: int = 0) -> dict[str, Any]:
    return {
        "name": name, "kind": kind, "model": model or None, "quality": quality,
        "interval": [quality - 0.05, quality + 0.05], "groups": 122, "documents_s": 11.0,
        "p95_s": 0.6, "memory_bytes": mib << 20,
    }  # fmt: skip


RESULT = {
    "task": "orders",
    "label_agreement": 0.81,
    "candidates": [
        row("majority", "baseline", 0.99),
        row("logistic regression, n=300", "baseline", 0.68),
        row("logistic regression, n=1,000", "baseline", 0.727),
        row("logistic regression", "baseline", 0.74),
        row("nearest neighbours, minilm", "neighbours", 0.79, model="minilm", mib=40),
        row("small", "model", 0.08, model="small", mib=300),
        row("small, 4 examples", "model", 0.15, model="small", mib=310),
        row("small:orders", "model", 0.85, model="small:orders", mib=320),
        row("big", "model", 0.5, model="big", mib=2_000),
    ],
    "digests": {"task": "aa", "outcomes of small": "bb"},
}


def test_the_best_of_each_option_and_never_the_commonest_answer() -> None:
    found = from_evaluation(RESULT)
    names = {each.option: each.name for each in found.candidates}
    assert names == {
        "baseline": "nearest neighbours, minilm", "prompt": "small, 4 examples",
        "tuned": "small:orders", "larger": "big",
    }  # fmt: skip
    assert (found.task, found.groups, found.agreement) == ("orders", 122, 0.81)
    assert found.made_of == (("task", "aa"),)
    assert found.curve == ((300, 0.68), (1_000, 0.727))
    assert found.candidate("cascade") is None
    assert from_evaluation(RESULT, adapters=("big",)).candidate("larger") is None


def test_a_classifier_of_the_task_is_no_language_model() -> None:
    own = {**RESULT, "candidates": [row("own classifier", "own", 0.9)]}
    assert [each.option for each in from_evaluation(own).candidates] == ["baseline"]


def test_what_the_last_doubling_brought() -> None:
    assert per_doubling([(250, 0.5), (1_000, 0.6)]) == pytest.approx(0.05)
    assert per_doubling([(250, 0.5)]) is None and per_doubling([]) is None


def test_utilisation_is_the_share_of_time_in_which_something_was_answered() -> None:
    # Of ten hours: one of an hour, two that overlap and take an hour and a half together.
    spans = [(HOUR, HOUR), (6 * HOUR, HOUR), (6 * HOUR + HOUR // 2, HOUR), (10 * HOUR, HOUR)]
    found = arrivals(spans)
    assert found is not None
    assert (found.requests, found.at_once, found.busiest_hour) == (4, 2, 2)
    assert found.utilisation == pytest.approx(3.5 / 10)
    assert found.days == pytest.approx(10 / 24) and found.requests_day == 4
    assert arrivals([]) is None


def test_what_a_person_measured_elsewhere_stands_with_its_source() -> None:
    text = """
[[measured]]
option = "cascade"
quality = [0.93, 0.95, 0.97]
groups = 400
documents_s = 2
coverage = 0.75
source = "pilot of spring"
"""
    found = joined(from_evaluation(RESULT), told(read(text)))
    cascade = found.candidate("cascade")
    assert cascade is not None and cascade.quality is not None
    assert (cascade.quality.low, cascade.coverage, cascade.name) == (0.93, 0.75, "cascade")
    assert ("told of cascade", "pilot of spring") in found.made_of


def test_what_is_said_replaces_what_was_measured_of_the_same_option() -> None:
    found = joined(from_evaluation(RESULT), [OptionMeasured("larger", "other")])
    assert [each.name for each in found.candidates if each.option == "larger"] == ["other"]
    assert len(found.candidates) == 4
