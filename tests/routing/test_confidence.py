"""Confidence in answers: features, functions, and coefficients from outside."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.routing import confidence
from appliance.routing.confidence import FIELDS, LABELS, MILLION, P_TRUE, Features
from appliance.types import Decided, TaskAnswer


def answer(*shares: float, mass: float | None = None) -> TaskAnswer:
    named = tuple((f"label {n}", share) for n, share in enumerate(shares))
    return TaskAnswer("t", 1, "d", "s", distribution=named, mass=mass)


def field(name: str, *logs: float, margin: float = 1.0) -> Decided:
    low = min(logs)
    mean = sum(logs) / len(logs)
    quantiles = low, low, mean
    alike = sum(logs)
    return Decided(name, len(logs), low, mean, quantiles, margin, 0.5 - low, 2 * low, alike)


def in_fields(*fields: Decided) -> Features:
    found = confidence.features(TaskAnswer("t", 1, "d", "s", decided=fields))
    assert found is not None
    return found


def planted_fields(n: int = 400) -> tuple[list[Features], list[bool], list[str]]:
    """Answers in 1 to 50 tokens, as often right in each length, by their worst field."""
    generator = np.random.default_rng(1)
    rows, right = [], []
    for _ in range(n):
        worst = float(generator.uniform(-2, 0))
        logs = np.maximum(worst, generator.uniform(-0.1, 0, int(generator.integers(1, 50))))
        rows.append(in_fields(field("a", *logs.tolist()), field("b", worst, margin=-worst)))
        right.append(bool(generator.random() < math.exp(worst)))
    return rows, right, [f"g{k}" for k in range(n)]


def ranked(values: Sequence[float]) -> Any:
    return np.argsort(np.argsort(values))


def planted(n: int = 600) -> tuple[list[Features], list[bool], list[str]]:
    """Answers as often right as their top share."""
    generator = np.random.default_rng(1)
    top = generator.uniform(0.4, 1, n)
    found = [confidence.features(answer(p, 0.7 * (1 - p), 0.3 * (1 - p))) for p in top]
    right = (generator.random(n) < top).tolist()
    return [f for f in found if f is not None], right, [f"g{k}" for k in range(n)]


def test_features_say_what_they_are() -> None:
    found = confidence.features(answer(0.1, 0.6, 0.3, mass=-0.5))
    assert found is not None
    top, margin, entropy, mass = found
    assert top == pytest.approx(math.log(0.6 / 0.4))
    assert margin == pytest.approx(math.log(2))
    assert 0 < entropy < 1
    assert mass == -0.5
    assert confidence.features(answer(0.25, 0.25, 0.25, 0.25)) == pytest.approx(
        (math.log(1 / 3), 0, 1, 0)
    )


def test_an_answer_without_a_distribution_has_none() -> None:
    assert confidence.features(answer()) is None


def test_features_of_fields_are_those_of_the_worst() -> None:
    found = in_fields(field("a", -0.1, -0.3), field("b", -1.0, -0.2, margin=0.25))
    assert dict(zip(FIELDS, found, strict=True)) == pytest.approx(
        {
            "least": -1.0, "mean": -0.6, "quantile": -1.0, "closest": 0.25, "widest": 1.5,
            "masked": -2.0, "agreement": -1.6, "length": math.log(4),
        }
    )  # fmt: skip
    assert found == in_fields(field("b", -1.0, -0.2, margin=0.25), field("a", -0.1, -0.3))


def test_a_function_of_fields_survives_json_and_does_not_follow_the_length() -> None:
    rows, right, groups = planted_fields()
    choice = confidence.fit(rows, right, groups)
    assert set(choice.areas) == {
        "all", "isotonic", *(f"without {f}" for f in FIELDS), *(f"{f} alone" for f in FIELDS)
    }  # fmt: skip
    scores = [choice.function.score(row) for row in rows]
    again = confidence.read(choice.function.document())
    assert [again.score(row) for row in rows] == scores
    steps = confidence._fitted(rows, right, None)
    assert confidence.read(steps.document()) == steps and isinstance(steps, confidence.Steps)
    assert steps.name == "least"
    assert choice.areas["length alone"] > 1.2 * min(choice.areas.values())
    worst, length = (ranked([row[FIELDS.index(n)] for row in rows]) for n in ("least", "length"))
    assert np.corrcoef(ranked(scores), worst)[0, 1] > 0.9
    assert abs(np.corrcoef(ranked(scores), length)[0, 1]) < 0.35


def test_what_the_model_says_of_its_answer_is_one_more_feature_of_either_form() -> None:
    labels = answer(0.6, 0.4)
    fields = TaskAnswer("t", 1, "d", "s", decided=(field("a", -0.1),))
    for about, names in ((labels, LABELS), (fields, FIELDS)):
        plain = confidence.features(about)
        asked = confidence.features(replace(about, p_true=0.9))
        assert plain is not None and asked == (*plain, pytest.approx(math.log(9)))
        assert confidence.names_of(plain) == names
        assert confidence.names_of(asked) == (*names, P_TRUE)
        certain = confidence.features(replace(about, p_true=0.0))
        assert certain is not None and all(map(math.isfinite, certain))
    assert confidence.names_of((1.0,) * 7) == ()  # as an earlier version wrote those of fields


def test_the_ablation_shows_what_asking_is_worth() -> None:
    rows, right, groups = planted_fields()
    told = [(*row, 2.0 if known else -2.0) for row, known in zip(rows, right, strict=True)]
    choice = confidence.fit(told, right, groups)
    assert choice.areas[f"{P_TRUE} alone"] < 0.75 * choice.areas[f"without {P_TRUE}"]
    again = confidence.read(choice.function.document())
    assert [again.score(row) for row in told] == [choice.function.score(row) for row in told]


@given(st.permutations([0.5, 0.3, 0.15, 0.05]))
def test_the_order_of_labels_does_not_matter(shares: list[float]) -> None:
    assert confidence.features(answer(*shares)) == confidence.features(answer(0.5, 0.3, 0.15, 0.05))


def test_certain_answers_have_finite_features() -> None:
    found = confidence.features(answer(1.0, 0.0, mass=-math.inf))
    assert found is not None and all(map(math.isfinite, found))


def test_a_fitted_function_is_a_probability_and_survives_json() -> None:
    rows, right, groups = planted()
    choice = confidence.fit(rows, right, groups)
    assert set(choice.areas) == {
        "all", "isotonic", *(f"without {f}" for f in LABELS), *(f"{f} alone" for f in LABELS)
    }  # fmt: skip
    scores = [choice.function.score(row) for row in rows]
    assert all(0 <= score <= MILLION for score in scores)
    assert np.mean(scores) / MILLION == pytest.approx(np.mean(right), abs=0.02)
    again = confidence.read(choice.function.document())
    assert [again.score(row) for row in rows] == scores
    assert choice.areas["mass alone"] > 1.2 * min(choice.areas.values())  # it says nothing here


def test_isotonic_steps_survive_json() -> None:
    rows, right, _ = planted(100)
    steps = confidence._fitted(rows, right, None)
    assert confidence.read(steps.document()) == steps


def test_the_area_is_that_of_a_curve_by_hand() -> None:
    assert confidence.area([3, 2, 1], [True, False, True]) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert confidence.area([1, 1], [True, False]) == pytest.approx(0.5)  # ties are shared


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"kind": "logistic", "weights": {}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"size": 1.0}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": 1.0, "least": 1.0}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": 1, "mean": 1, "p_true": 1}, "intercept": 0.0},
        {"kind": "logistic", "weights": {1: 1.0}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": math.nan}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": 1e9}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": True}, "intercept": 0.0},
        {"kind": "logistic", "weights": {"top": 1.0}, "intercept": 0.0, "more": 1},
        {"kind": "isotonic", "feature": "size", "scores": [0.0], "probabilities": [0.5]},
        {"kind": "isotonic", "feature": "margin", "scores": [1.0, 0.0], "probabilities": [0.5, 1]},
        {"kind": "logistic", "feature": "margin", "slope": 1.0, "intercept": 0.0},
    ],
)
def test_coefficients_from_outside_are_checked(value: Any) -> None:
    with pytest.raises(Refused) as caught:
        confidence.read(value)
    assert caught.value.code == "coefficients_invalid"


def test_nothing_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        confidence.fit([], [], [])


def test_the_room_for_company_is_what_log_odds_do() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(2, 3, (200, 5))
    before = -np.logaddexp(0, -odds)
    for away in (-confidence.COMPANY, confidence.COMPANY, rng.uniform(-0.5, 0.5, odds.shape)):
        after = -np.logaddexp(0, -(odds + away))
        for name, reduce in (("least", np.min), ("mean", np.mean), ("agreement", np.sum)):
            for one, other in zip(reduce(before, axis=1), reduce(after, axis=1), strict=True):
                low, high = confidence.moved(name, one)
                assert low - 1e-9 <= other <= high + 1e-9
    assert confidence.moved("length", 3.0) == (3.0, 3.0)


@pytest.mark.parametrize("rows_of", [planted, planted_fields])
def test_the_lowest_and_the_highest_score_are_those_of_the_corners(rows_of: Any) -> None:
    rows, right, groups = rows_of(200)
    names = confidence.names_of(rows[0])
    for function in (
        confidence._fitted(rows, right, names),
        confidence._fitted(rows, right, names[1:3]),
        confidence._fitted(rows, right, None),
        confidence.fit(rows, right, groups, company=True).function,
    ):
        for row in rows[:20]:
            ends = [confidence.moved(name, value) for name, value in zip(names, row, strict=True)]
            scores = [function.score(corner) for corner in itertools.product(*ends)]
            assert function.range(row) == (min(scores), max(scores))


def test_an_answer_counts_as_company_makes_it_worst() -> None:
    rows, right, groups = planted()
    function = confidence.fit(rows, right, groups).function
    sure = confidence.features(answer(0.8, 0.1, 0.1))
    close = confidence.features(answer(0.5, 0.4, 0.1))
    assert sure is not None and close is not None
    low, high = function.range(sure)
    assert low < function.score(sure) < high
    for found, good, wanted in (
        (sure, True, (low, True)),
        (sure, False, (high, False)),
        (close, True, (function.range(close)[1], False)),  # another label may be given
    ):
        assert confidence.counted(function, found, right=good, company=True) == wanted
        plain = confidence.counted(function, found, right=good, company=False)
        assert plain == (function.score(found), good)
