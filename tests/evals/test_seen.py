"""What saw items: asked, learned from, or not to be told."""

from pathlib import Path
from typing import Any

from appliance.evals.seen import Seen, seen
from appliance.evals.store import OutcomeFiles
from tests.evals.example import outcomes

PARAMS: dict[int, dict[str, Any]] = {
    1: {"task": "/tasks/a", "data": "/data/orders"},
    2: {"task": "/tasks/b", "data": "/data/other"},
}


def evaluation(root: Path, number: int) -> list[str]:
    """An evaluation with outcomes; the ids of its items."""
    made = outcomes(4, of=4)
    OutcomeFiles(root / str(number)).append(0, made)
    return [outcome.item for outcome in made]


def test_asked_and_learned(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 1)
    found = seen(tmp_path, PARAMS.get, [asked[0], "w1"], "/data/orders", ["w1"])
    assert found == [
        Seen(asked[0], 1, "asked", "/tasks/a", "/data/orders"),
        Seen("w1", 1, "learned", "/tasks/a", "/data/orders"),
    ]


def test_the_same_id_elsewhere_is_told_with_its_directory(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 2)
    (found,) = seen(tmp_path, PARAMS.get, asked[:1], "/data/orders", [])
    assert (found.how, found.data) == ("asked", "/data/other")


def test_nothing_saw_them(tmp_path: Path) -> None:
    evaluation(tmp_path, 1)
    assert seen(tmp_path, PARAMS.get, ["x"], "/data/orders", []) == []
    assert seen(tmp_path / "none", PARAMS.get, ["x"], "/data/orders", []) == []


def test_what_cannot_be_read_may_have_seen_everything(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "000.jsonl").write_bytes(b"garbage\n")
    (tmp_path / "notes").mkdir()
    (found,) = seen(tmp_path, lambda _: None, ["x"], "/data/orders", ["x"])
    assert found == Seen("x", 1, "unknown", "", "")


def test_a_line_that_a_crash_cut_short_is_none(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 1)
    with (tmp_path / "1" / "000.jsonl").open("ab") as file:
        file.write(b'{"item":"cut')
    (found,) = seen(tmp_path, PARAMS.get, asked[:1], "/data/orders", [])
    assert found.how == "asked"
