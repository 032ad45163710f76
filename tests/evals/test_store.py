"""Files of outcomes: appended, read again, and whole after a crash."""

from pathlib import Path

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.store import OutcomeFiles, read_report
from tests.evals.example import outcomes


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    files = OutcomeFiles(tmp_path / "1")
    some = outcomes(5, of=10)
    files.append(0, some[:4])
    files.append(0, some[4:])
    assert OutcomeFiles(tmp_path / "1").read(0) == some
    assert files.read(1) == []


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_that_was_cut_is_dropped_and_written_again(tmp_path: Path, cut: int) -> None:
    files = OutcomeFiles(tmp_path / "1")
    some = outcomes(5, of=3)
    files.append(0, some)
    path = tmp_path / "1" / "000.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert files.read(0) == some[:2]
    files.append(0, some[2:])
    assert files.read(0) == some


def test_a_first_line_that_was_cut_leaves_nothing(tmp_path: Path) -> None:
    files = OutcomeFiles(tmp_path / "1")
    (tmp_path / "1" / "000.jsonl").write_bytes(b'{"item"')
    assert files.read(0) == []
    files.append(0, outcomes(1, of=1))
    assert len(files.read(0)) == 1


def test_a_line_that_was_changed_is_refused(tmp_path: Path) -> None:
    files = OutcomeFiles(tmp_path / "1")
    files.append(0, outcomes(1, of=2))
    path = tmp_path / "1" / "000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"micros":0', b'"micros":-1'))
    with pytest.raises(EvaluationRefused):
        files.read(0)


def test_the_page_is_kept_whole(tmp_path: Path) -> None:
    OutcomeFiles(tmp_path / "7").write_report("<p>é</p>")
    assert read_report(tmp_path, 7) == "<p>é</p>"
    assert [p.name for p in (tmp_path / "7").iterdir()] == ["report.html"]
    with pytest.raises(EvaluationRefused) as caught:
        read_report(tmp_path, 8)
    assert caught.value.code == "report_missing"
