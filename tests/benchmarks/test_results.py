"""Partial runs merge and can be read again."""

import math
from pathlib import Path

import msgspec

from benchmarks.results import Entry, Figure, Results, read, write
from benchmarks.statistics import Summary


def entry(check: str, model: str, ratio: float) -> Entry:
    figure = Figure("ratio", "", Summary(ratio, ratio, ratio), relation="≥", target=1.0)
    return Entry(check, model, "", "", "", {}, 3, 1.0, [figure], runs=[{"gap": math.nan}])


def keys(results: Results) -> list[tuple[str, str]]:
    return [(e.check, e.model) for e in results.entries]


def test_a_run_replaces_its_own_entry_only() -> None:
    results = Results()
    for check, model in [
        ("P10", "a"),
        ("P4-task", "b"),
        ("P1", "b"),
        ("P4-json", "a"),
        ("P1", "a"),
    ]:
        results = results.merged(entry(check, model, 1.0))
    order = [("P1", "a"), ("P1", "b"), ("P4-json", "a"), ("P4-task", "b"), ("P10", "a")]
    assert keys(results) == order
    again = results.merged(entry("P1", "b", 2.0))
    assert keys(again) == order
    assert [e.figures[0].value.median for e in again.entries] == [1.0, 2.0, 1.0, 1.0, 1.0]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    results = Results().merged(entry("P1", "a", 1.23456))
    assert read(path) == Results()
    write(results, path)
    (found,) = read(path).entries
    assert found.figures[0].value == Summary(1.235, 1.235, 1.235)
    assert found.runs == [{"gap": None}]  # JSON has no NaN
    assert msgspec.json.decode(path.read_bytes())["format"] == 1
    assert not list(path.parent.glob("*.tmp"))
