"""A change that a person may make."""

from pathlib import Path

import pytest

from appliance.errors import Refused
from appliance.types import Report, silent
from tui.change import Answers, Blank, Change, name_blank, reason_blank, report_to_file


def work(_answers: Answers, _report: Report) -> object:
    return None


CHANGE = Change("t", "r", "e", work, blanks=(name_blank("pump"), Blank("key", "Key", needed=True)))


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({}, "Type pump"), ({"name": "PUMP", "key": "k"}, "Type pump"),
        ({"name": "pump"}, "Key is needed"), ({"name": "pump", "key": "  "}, "Key is needed"),
        ({"name": "pump ", "key": "k"}, ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(answers: dict[str, str], wrong: str) -> None:
    assert CHANGE.wrong(answers).startswith(wrong)
    assert bool(CHANGE.wrong(answers)) is bool(wrong)


def test_a_reason_may_stay_empty() -> None:
    assert Change("t", "r", "e", work, blanks=(reason_blank(),)).wrong({}) == ""


def test_a_report_goes_to_a_new_file_and_never_over_another(tmp_path: Path) -> None:
    made = report_to_file("tuning 7", "GET /x", "tuning-7.html", lambda: "<p>é</p>")
    assert made.title == "Write the report of tuning 7"
    assert made.record == "nothing: reading a report is not recorded"
    (blank,) = made.blanks
    assert (blank.value, blank.needed) == ("tuning-7.html", True)
    out = tmp_path / "out"
    assert made.work({"out": str(out)}, silent) == f"report of tuning 7: {out}"
    assert out.read_text(encoding="utf-8") == "<p>é</p>"
    with pytest.raises(FileExistsError):
        report_to_file("x", "", "", lambda: "other").work({"out": str(out)}, silent)
    assert out.read_text(encoding="utf-8") == "<p>é</p>"


def test_what_cannot_be_read_leaves_no_file(tmp_path: Path) -> None:
    def refuse() -> str:
        raise Refused("report_missing", "None.")

    with pytest.raises(Refused):
        report_to_file("x", "", "", refuse).work({"out": str(tmp_path / "out")}, silent)
    assert list(tmp_path.iterdir()) == []
