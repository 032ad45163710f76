"""Two evaluations side by side: paired, on the same items, from outcomes that are whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.comparing import compare_stored
from appliance.evals.outcomes import Outcome, digest
from appliance.evals.store import OutcomeFiles
from appliance.wire.admin.results import EvaluationResult
from tests.evals.example import outcomes


def stored(
    root: Path,
    number: int,
    *,
    data: str = "d",
    metric: str = "exact_match",
    split: str = "dev",
    **made: list[Outcome],
) -> None:
    files = OutcomeFiles(root / str(number))
    for place, some in enumerate(made.values()):
        files.append(place, some)
    rows = [
        {"name": name, "quality": 0.5, "interval": [0.4, 0.6], "outcomes": digest(some)}
        for name, some in made.items()
    ]
    result = {
        "candidates": rows, "candidate": "tuned", "baseline": "linear", "metric": metric,
        "split": split, "data": "/nowhere",
        "digests": {"dataset": data},
    }  # fmt: skip
    files.write_report("<p>", EvaluationResult.model_validate(result))


def code_of(root: Path, first: tuple[int, str], second: tuple[int, str]) -> str:
    with pytest.raises(EvaluationRefused) as caught:
        compare_stored(root, first, second)
    return caught.value.code


def test_the_difference_with_its_flips(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=outcomes(100))
    stored(tmp_path, 2, linear=outcomes(80), tuned=outcomes(90))
    found, flips, items = compare_stored(tmp_path, (1, ""), (2, ""))
    assert found.difference.value == pytest.approx(10 / 120) and items == 120
    assert (len(found.gained), len(found.lost)) == (10, 0)
    assert found.p_value == pytest.approx(2 / 2**10)
    assert [flip.item for flip in flips] == [f"i{n:03}" for n in range(90, 100)]
    assert (flips[0].side, flips[0].first, flips[0].second) == ("1: tuned", "a", "b")
    same, _, _ = compare_stored(tmp_path, (1, "linear"), (2, "linear"))
    assert same.difference.value == 0 and same.p_value == 1


def test_timeouts_on_one_side_are_wrong_on_that_side(tmp_path: Path) -> None:
    late = [
        replace(o, answer=None, micros=0, failure="timeout", confidence_micros=None)
        if n < 30
        else o
        for n, o in enumerate(outcomes(120))
    ]
    stored(tmp_path, 1, linear=outcomes(1), tuned=late)
    stored(tmp_path, 2, linear=outcomes(1), tuned=outcomes(120))
    found, flips, _ = compare_stored(tmp_path, (1, ""), (2, ""))
    assert found.difference.value == pytest.approx(-0.25)
    assert (len(found.gained), len(found.lost)) == (0, 30)
    assert flips[0].first == "(timeout)"


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=outcomes(100))
    stored(tmp_path, 2, data="other", linear=outcomes(80), tuned=outcomes(90))
    stored(tmp_path, 3, metric="field_accuracy", linear=outcomes(80), tuned=outcomes(90))
    stored(tmp_path, 4, linear=outcomes(80), tuned=outcomes(5, of=10))
    assert code_of(tmp_path, (1, ""), (9, "")) == "report_missing"
    assert code_of(tmp_path, (1, "majority"), (1, "")) == "candidate_unknown"
    for number in (2, 3, 4):
        assert code_of(tmp_path, (1, ""), (number, "")) == "outcomes_incomplete"


def test_outcomes_that_were_changed_are_refused(tmp_path: Path) -> None:
    stored(tmp_path, 1, linear=outcomes(80), tuned=outcomes(100))
    path = tmp_path / "1" / "001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"micros":0', b'"micros":1000000'))
    assert code_of(tmp_path, (1, ""), (1, "linear")) == "outcomes_invalid"
