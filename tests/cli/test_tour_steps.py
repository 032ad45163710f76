"""What every tour is made of: its directory, and the page that leads to all others."""

import json
from pathlib import Path

import pytest

from appliance.cli.demo import DemoError
from appliance.cli.tour_steps import Report, Tour, report, run


def test_a_directory_that_is_no_tour_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DemoError, match="no directory of a tour"):
        run(Tour(tmp_path, tmp_path / "none", tmp_path / "none"), (), ())
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_an_index_escapes_what_data_say(tmp_path: Path) -> None:
    made = Tour(tmp_path, tmp_path, tmp_path)
    result = tmp_path / "e.json"
    result.write_text(json.dumps({"answer": "answer </li><script>"}))
    made.reports.append(Report("e.html", "<b>", result))
    made.verified.append("python3 <script> x")
    report(made)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
