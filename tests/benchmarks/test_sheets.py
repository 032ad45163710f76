"""Sheets: what is kept, and that those in the repository say what the documents say of them."""

from pathlib import Path

import pytest

from benchmarks import results, sheets
from benchmarks.models import MODELS
from benchmarks.results import RESULTS, Figure, read
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


def test_the_estimate_was_within_its_bounds_in_every_shape_of_both_models() -> None:
    entries = read(RESULTS / "estimate.json").entries
    assert {entry.model for entry in entries} == set(MODELS)
    for entry in entries:
        assert len(entry.figures) == 5 and entry.repeat >= 3
        for figure in entry.figures:
            assert 0.85 <= figure.value.low <= figure.value.high <= 1.15, figure


@pytest.mark.parametrize("name", ["estimate", "adapter_switch", "mixed_load"])
def test_each_sheet_is_there_as_a_table_too(name: str) -> None:
    everything = results.read(RESULTS / f"{name}.json")
    table = (RESULTS / f"{name}.md").read_text()
    assert all(figure.name in table for entry in everything.entries for figure in entry.figures)
