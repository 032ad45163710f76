"""Outcomes of a gate: encrypted from the first, and read again by the auditor's export alone."""

from pathlib import Path

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.gate_outcomes import (
    CANDIDATE,
    INCUMBENT,
    answers_file,
    read_pairs,
    write_pairs,
)
from appliance.looks.answers import LookFiles
from tests.evals import example
from tests.evals.gates import pairs

KEK = bytes(range(32))


def test_what_was_answered_comes_back(tmp_path: Path) -> None:
    files = LookFiles(tmp_path / "7", KEK)
    assert answers_file(files, CANDIDATE).read() == []
    answered = example.outcomes(20)
    one = answers_file(files, CANDIDATE)
    one.append(answered[:50])
    one.append(answered[50:])
    again = LookFiles(tmp_path / "7", KEK)
    assert answers_file(again, CANDIDATE).read() == answered
    assert answers_file(again, INCUMBENT).read() == []
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(outcome.item.encode() in written for outcome in answered)


def test_pairs_are_those_of_the_last_try(tmp_path: Path) -> None:
    files = LookFiles(tmp_path / "7", KEK)
    write_pairs(files, pairs(9))
    write_pairs(files, pairs(80))
    assert read_pairs(tmp_path, 7, KEK) == pairs(80)
    with pytest.raises(EvaluationRefused):
        read_pairs(tmp_path, 7, bytes(32))


def test_a_job_without_them_is_no_gate(tmp_path: Path) -> None:
    with pytest.raises(EvaluationRefused) as caught:
        read_pairs(tmp_path, 8, KEK)
    assert caught.value.code == "report_missing"
