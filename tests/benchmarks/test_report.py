"""The table and the picture of a figure."""

from xml.etree import ElementTree

import pytest

from benchmarks.report import goodness, markdown, number, svg
from benchmarks.results import Entry, Figure, Results
from benchmarks.statistics import Summary

HOST = {"cpu": "a <CPU>", "cores": 2, "kernel": "6.1", "audit_file_system": "ext2/ext3"}
FAST = Figure(
    "tokens", "tok/s", Summary(1.4, 1.35, 1.5), Summary(246, 240, 250), Summary(188, 180, 190),
    "≥", 1.3,
)  # fmt: skip
SLOW = Figure("gap", "ms", Summary(1.5, 1.1, 1.6), relation="≤", target=1.2)
PLAIN = Figure("documents", "", Summary(0.5, 0.5, 0.5))


def entry(*figures: Figure, check: str = "P1", model: str = "smollm2") -> Entry:
    return Entry(
        check, model, "a title", "2026-01-01 00:00 UTC", "abc", HOST, 3, 61.0, list(figures),
        commands={"ours": "python -m appliance serve"}, notes=["a note"],
    )  # fmt: skip


def test_a_row_says_everything() -> None:
    text = markdown(Results(entries=[entry(FAST, SLOW, PLAIN)]))
    assert (
        "| P1 | smollm2 | tokens | 246 tok/s | 188 tok/s | 1.4 (1.35–1.5) | ≥ 1.3 | met |" in text
    )
    assert "| P1 | smollm2 | gap |  |  | 1.5 (1.1–1.6) | ≤ 1.2 | **missed** |" in text
    assert "| P1 | smollm2 | documents |  |  | 0.5 (0.5–0.5) |  |  |" in text
    assert "commit abc, a <CPU>, 2 cores, Linux 6.1" in text
    assert "  - ours: `python -m appliance serve`" in text
    assert "  - a note" in text


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    assert (FAST.met, SLOW.met, PLAIN.met) == (True, False, None)


def test_the_picture_is_one_bar_a_target() -> None:
    picture = ElementTree.fromstring(svg(Results(entries=[entry(FAST, SLOW, PLAIN)])))
    bars = [e for e in picture.iter() if e.tag.endswith("rect")][1:]
    assert [bar.get("fill") for bar in bars] == ["#3a7d44", "#b23a48"]


def test_names_cannot_break_the_picture() -> None:
    name = 'a < b & "c"'
    text = svg(Results(entries=[entry(Figure(name, "", Summary(1, 1, 1), None, None, "≥", 1.0))]))
    labels = [e.text for e in ElementTree.fromstring(text).iter() if e.tag.endswith("text")]
    assert f"P1 smollm2: {name}" in labels


def test_goodness_is_above_one_when_the_target_is_met() -> None:
    assert goodness(FAST, 2.6) == 2
    assert goodness(SLOW, 0.6) == 2
    assert goodness(SLOW, 2.4) == 0.5


@pytest.mark.parametrize(
    ("value", "text"), [(0.0731, "0.0731"), (1.0, "1"), (12.6, "12.6"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
