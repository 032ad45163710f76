"""Outcomes of a gate: encrypted from the first, and read again by the auditor's export alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.gate_outcomes import CANDIDATE, INCUMBENT, Files, read_pairs
from tests.evals import example
from tests.evals.gates import pairs

KEK = bytes(range(32))


@pytest.fixture
def parts(tmp_path: Path) -> Any:
    return SimpleNamespace(directory=tmp_path, kek=lambda: KEK)


def test_what_was_answered_comes_back(parts: Any) -> None:
    files = Files(parts, 7)
    assert files.read(CANDIDATE) == [] and files.read(INCUMBENT) == []
    answered = example.outcomes(20)
    files.append(CANDIDATE, answered[:50])
    files.append(CANDIDATE, answered[50:])
    again = Files(parts, 7)
    assert again.read(CANDIDATE) == answered and again.read(INCUMBENT) == []
    written = b"".join(path.read_bytes() for path in parts.directory.rglob("*") if path.is_file())
    assert not any(outcome.item.encode() in written for outcome in answered)


def test_pairs_are_those_of_the_last_try(parts: Any) -> None:
    files = Files(parts, 7)
    files.write_pairs(pairs(9))
    files.write_pairs(pairs(80))
    assert read_pairs(parts.directory, 7, KEK) == pairs(80)
    with pytest.raises(EvaluationRefused):
        read_pairs(parts.directory, 7, bytes(32))


def test_a_job_without_them_is_no_gate(parts: Any) -> None:
    with pytest.raises(EvaluationRefused) as caught:
        read_pairs(parts.directory, 8, KEK)
    assert caught.value.code == "report_missing"
