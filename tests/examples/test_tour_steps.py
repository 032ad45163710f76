"""Common parts of every tour: its directory, and the page that leads to all others."""

import json
from pathlib import Path

import pytest

from appliance.reports.page import Figure, ReportPage, render
from examples.demo import DemoError
from examples.tour_steps import Decision, Report, Tour, report, run


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
    assert '<a href="e.html">' in page


def test_an_index_begins_with_the_decisions_and_a_picture_of_each(tmp_path: Path) -> None:
    made = Tour(tmp_path, tmp_path, tmp_path)
    for name, certificate in (("orders", None), ("notices", "ab")):
        found = {"answer": f"said of {name}", "certificate": certificate, "groups": 60,
                 "coverage": 0.8, "alpha": 0.05}  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
        figure = Figure(f'<svg id="{name}"></svg>', f"caption of {name} & more")
        shown = ReportPage(name, "a", "no", (), (), (), "now", figure)
        (tmp_path / f"{name}.html").write_text(render(shown), encoding="utf-8")
        page = Report(f"{name}.html", name.title(), tmp_path / f"{name}.json")
        made.reports.append(page)
        made.decisions.append(Decision(name.title(), page, page))
    report(made)
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    start = index.index("<section>")
    order = (
        "Orders: no", "said of orders", '<svg id="orders">', "caption of orders &amp; more",
        "Notices: yes", "said of notices", '<svg id="notices">', 'href="orders.html"',
    )  # fmt: skip
    places = [index.index(words, start) for words in order]
    assert places == sorted(places)
    assert "80% answered, at most 5% wrong; 60 groups" in index
