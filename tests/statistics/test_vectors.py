"""Every statistic equals that of scipy, scikit-learn and statsmodels."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.oracle import Oracle, statistics_python
from tests.statistics import vectors

VECTORS: list[dict[str, Any]] = json.loads(vectors.GOLDEN.read_text())


@pytest.mark.parametrize("ask", vectors.OURS)
def test_the_answers_of_the_oracles(ask: str) -> None:
    asked = [dict(entry) for entry in VECTORS if entry["ask"] == ask]
    assert asked
    for question in asked:
        theirs = question.pop("value")
        ours = vectors.answer(question)
        assert vectors.near(ask, ours, theirs), (question, ours, theirs)


def test_control_a_wrong_answer_is_told() -> None:
    assert not vectors.near("wilson", [0.1, 0.2], [0.1, 0.2 + 3e-9])


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    asked = Oracle("statistic.py", statistics_python())
    yield asked
    asked.close()


@pytest.mark.slow
def test_the_oracles_themselves(oracle: Oracle) -> None:
    for entry in VECTORS:
        question = {k: v for k, v in entry.items() if k != "value"}
        assert vectors.near(entry["ask"], vectors.ask_oracle(oracle, question), entry["value"])
    for question in vectors.questions(seed=7, rounds=60):
        ours, theirs = vectors.answer(question), vectors.ask_oracle(oracle, question)
        assert vectors.near(question["ask"], ours, theirs), (question, ours, theirs)
