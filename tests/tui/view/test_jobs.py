"""The jobs screen's words."""

import pytest

from appliance.wire.admin.jobs import JobProgress
from tests.tui.scripted import WALL, job
from tui.text import line, lines
from tui.view import jobs as view


def test_a_running_job_has_a_bar_its_time_left_and_its_age() -> None:
    made = view.row(job(7), WALL, ascii_only=True)
    said = line(*made).plain
    assert len(made) == len(view.COLUMNS)
    for words in ("7", "import", "+ running", "###.........  25 %", "1 min", "2 min", "model-7"):
        assert words in said, words
    assert "███░" in line(*view.row(job(7), WALL, ascii_only=False)).plain


def test_a_bar_stands_only_where_a_total_is_known() -> None:
    unknown = {"phase": "parsing", "done": 5, "total": 0, "unit": "documents"}
    assert "parsing" in line(*view.row(job(1, progress=unknown), WALL, ascii_only=True)).plain
    for state in ("done", "queued"):
        said = line(*view.row(job(1, state=state, progress={}), WALL, ascii_only=True)).plain
        assert "#" not in said and "%" not in said


def test_a_job_that_does_not_run_has_no_time_left() -> None:
    assert "1 min" not in line(*view.row(job(1, state="paused"), WALL, ascii_only=True)).plain


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            {"unit": "bytes", "done": 3 << 20, "total": 8 << 20, "rate": 2.0**21},
            "3 MiB of 8 MiB, 2.0",
        ),
        ({"unit": "entries", "done": 1500, "total": 3000, "rate": 250.0}, "3 000, 250 entries/s"),
        ({"unit": "steps", "done": 7, "total": 0}, "copying, 7"),
    ],
)
def test_an_amount_has_units(progress: dict[str, object], words: str) -> None:
    told = JobProgress.model_validate({"phase": "copying", **progress})
    assert words in view.amount(told)


def test_a_job_under_the_cursor_says_why_it_stopped_and_what_to_do() -> None:
    stopped = job(
        1, state="failed", code="insufficient_disk", message="The disk is full.",
        hint="Free space.", ended="2026-11-18T12:25:00Z",
    )  # fmt: skip
    said = lines(view.detail(stopped, WALL, 80)).plain
    for words in ("insufficient_disk: The disk is full.", "Free space.", "12:25:00", "uid:1000"):
        assert words in said, words
    done = job(1, state="done", result={"entries": 40})
    assert "entries 40" in lines(view.detail(done, WALL, 80)).plain
    waits = job(1, state="queued", heavy=True, progress={})
    assert "run one at a time" in lines(view.detail(waits, WALL, 80)).plain
    named = job(1, progress={"phase": "tokenising"})
    assert "tokenising\n" in lines(view.detail(named, WALL, 80)).plain + "\n"


def test_how_many_there_are_and_are_shown() -> None:
    many = [job(1), job(2, state="queued"), job(3, state="done")]
    assert view.summary(many, 3).plain == "1 running  1 queued  3 in all"
    assert view.summary(many, 1).plain.endswith("1 shown")
