"""Sheets of measurements."""

from pathlib import Path

import pytest

from benchmarks import sheets
from benchmarks.results import Figure, read
from benchmarks.statistics import Summary


def figure(value: float) -> Figure:
    return Figure("something", "MiB", Summary(value, value, value), relation="≤", target=1.15)


def test_a_sheet_holds_each_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "RESULTS", tmp_path)
    for model, value in (("a", 1.0), ("b", 1.1), ("a", 1.2)):
        sheets.keep("memory", model, "a title", [figure(value)], 1.0, 3, notes=["a note"])
    entries = read(tmp_path / "memory.json").entries
    assert [(e.model, e.figures[0].value.median) for e in entries] == [("a", 1.2), ("b", 1.1)]
    text = (tmp_path / "memory.md").read_text()
    assert "1.2 (1.2–1.2)" in text and "**missed**" in text and "a note" in text
