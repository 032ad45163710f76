"""Readers of items: asked, learned from, or unknown."""

import json
from pathlib import Path

from appliance.evals.exposure import REPLAY, Seen, seen
from appliance.evals.store import OutcomeFiles
from tests.evals.example import outcomes
from tests.evals.gates import signed, wanted

PARAMS: dict[int, str] = {
    1: '{"task":"/tasks/a","data":"/data/orders","split":"dev"}',
    2: '{"task":"/tasks/b","data":"/data/other"}',
}


def train_of(dataset: str) -> frozenset[str] | None:
    """One stored dataset, and an unreadable one."""
    return {"orders-data": frozenset({"w1"}), "gone": None}[dataset]


def evaluation(root: Path, number: int) -> list[str]:
    made = outcomes(4, of=4)
    OutcomeFiles(root / str(number)).append(0, made)
    return [outcome.item for outcome in made]


def test_asked_and_learned(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 1)
    found = seen(tmp_path, PARAMS.get, [asked[0], "w1"], "/data/orders", ["w1"], train_of)
    assert found == [
        Seen(asked[0], 1, "asked", "/tasks/a", "/data/orders"),
        Seen("w1", 1, "learned", "/tasks/a", "/data/orders"),
    ]


def test_the_same_id_elsewhere_is_told_with_its_directory(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 2)
    (found,) = seen(tmp_path, PARAMS.get, asked[:1], "/data/orders", [], train_of)
    assert (found.how, found.data) == ("asked", "/data/other")


def test_nothing_saw_them(tmp_path: Path) -> None:
    evaluation(tmp_path, 1)
    assert seen(tmp_path, PARAMS.get, ["x"], "/data/orders", [], train_of) == []
    assert seen(tmp_path / "none", PARAMS.get, ["x"], "/data/orders", [], train_of) == []


def test_what_cannot_be_read_may_have_seen_everything(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "000.jsonl").write_bytes(b"garbage\n")
    (tmp_path / "notes").mkdir()
    (found,) = seen(tmp_path, lambda _: None, ["x"], "/data/orders", ["x"], train_of)
    assert found == Seen("x", 1, "unknown", "", "")


def test_a_line_that_a_crash_cut_short_is_none(tmp_path: Path) -> None:
    asked = evaluation(tmp_path, 1)
    with (tmp_path / "1" / "000.jsonl").open("ab") as file:
        file.write(b'{"item":"cut')
    (found,) = seen(tmp_path, PARAMS.get, asked[:1], "/data/orders", [], train_of)
    assert found.how == "asked"


def test_what_a_gate_asked_and_what_its_regression_learned_from(tmp_path: Path) -> None:
    signed_terms = json.dumps({"specification": signed(wanted()).decode()})
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / REPLAY).write_text('{"d1": "digest"}')
    (tmp_path / "3" / "000.sealed").write_bytes(b"not to be read")
    found = seen(tmp_path, {3: signed_terms}.get, ["d1", "w1", "w2"], "/data/orders", [], train_of)
    assert found == [
        Seen("d1", 3, "asked", "orders", "orders-data"),
        Seen("w1", 3, "learned", "orders", "orders-data"),
    ]


def test_an_evaluation_of_a_stored_dataset_learned_from_its_train(tmp_path: Path) -> None:
    evaluation(tmp_path, 1)
    by_id = '{"task":"a","data":"orders-data"}'
    (found,) = seen(tmp_path, {1: by_id}.get, ["w1", "w2"], "/data/orders", ["w2"], train_of)
    assert (found.item, found.how, found.data) == ("w1", "learned", "orders-data")


def test_a_dataset_that_is_gone_may_have_held_them(tmp_path: Path) -> None:
    evaluation(tmp_path, 1)
    gone = '{"task":"a","data":"gone"}'
    (found,) = seen(tmp_path, {1: gone}.get, ["w1"], "/data/orders", [], train_of)
    assert found.how == "unknown"
