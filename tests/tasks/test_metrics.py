"""Every metric has cases for every form that it fits; a new one that has none fails here."""

import re
from collections.abc import Mapping

import pytest

from appliance.tasks.matching import Compare
from appliance.tasks.metrics import FORMS, METRICS, AnsweredItem, Form, that_fit, usual

Case = tuple[str, str | None, float]
BOTH = '{"part":"hose","side":"left"}'
CASES: Mapping[tuple[str, Form], tuple[Case, ...]] = {
    ("exact_match", "labels"): (("engine", " engine", 1), ("engine", "Engine", 0)),
    ("exact_match", "fields"): ((BOTH, BOTH, 1), (BOTH, '{"part":"hose"}', 0), ("{}", "{}", 1)),
    ("exact_match", "text"): (("a b", "a b\n", 1), ("a b", "A b", 0)),
    ("normalised_match", "labels"): (("engine", "Engine.", 1), ("engine", "pump", 0)),
    ("normalised_match", "text"): (("the boom hose", "Boom  hose!", 1), ("hose", "pump", 0)),
    ("top_3", "labels"): (("a", "b > c > a", 1), ("a", "b > c > d > a", 0), ("a", "a", 1)),
    ("field_accuracy", "fields"): ((BOTH, '{"part":"hose","side":"up"}', 0.5), (BOTH, "[]", 0)),
}
"""For each metric and form: expected, answered (labels from the likeliest on), score by hand."""


def scored(name: str, form: Form, expected: str, answer: str | None, **compare: Compare) -> float:
    likeliest = (answer or "").split(" > ") if METRICS[name].ranked else []
    return METRICS[name].score(AnsweredItem(form, expected, answer, compare, likeliest))


def test_each_metric_has_cases_of_each_form_that_it_fits() -> None:
    wanted = {(each.name, form) for each in METRICS.values() for form in each.forms}
    differs = sorted(CASES.keys() ^ wanted)
    assert not differs, f"CASES in tests/tasks/test_metrics.py: {differs}"


@pytest.mark.parametrize(("name", "form"), CASES)
def test_its_scores_are_those_by_hand_and_no_answer_scores_nothing(name: str, form: Form) -> None:
    given = CASES[name, form]
    for expected, answer, score in given:
        assert scored(name, form, expected, answer) == score
        assert scored(name, form, expected, None) == 0


def test_a_metric_tells_what_it_is() -> None:
    for each in METRICS.values():
        assert re.fullmatch("[a-z][a-z0-9_]*", each.name) and each.forms, each.name
        assert each.about.endswith("."), f"{each.name} in appliance/tasks/metrics.py: no docstring"
    assert METRICS["exact_match"].title == "exact match"


def test_each_form_has_one_usual_metric_that_fits_it() -> None:
    assert {form: usual(form).name for form in FORMS} == {
        "labels": "exact_match", "fields": "field_accuracy", "text": "normalised_match",
    }  # fmt: skip
    for form in FORMS:
        assert [m.name for m in METRICS.values() if form in m.usual] == [usual(form).name]
        assert usual(form).name in that_fit(form)


def test_a_text_is_compared_as_its_task_says_whatever_the_metric() -> None:
    rule = Compare("pattern")
    for name in ("exact_match", "normalised_match"):
        assert scored(name, "text", "[0-9]+ bar", "12 bar", text=rule) == 1
        assert scored(name, "text", "[0-9]+ bar", "12", text=rule) == 0
