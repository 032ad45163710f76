"""Rows of an importance matrix: of train alone, the same at every run."""

import json
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.datasets import directory
from appliance.evals.parameters import EvaluationWanted
from appliance.tuning import examples, importance
from appliance.tuning.importance import Matrix
from appliance.tuning.rows import TokenRow, digest
from appliance.tuning.served import Served
from tests.evals.sealed import sealing_key, write_dataset
from tests.tuning.runs import subject_of


def asks_what_train_asks(path: Path) -> None:
    """Give each item of dev the input of one of train."""
    train, dev = (
        [json.loads(line) for line in (path / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "dev")
    )
    lines = [json.dumps(one | {"input": train[n]["input"]}) for n, one in enumerate(dev)]
    (path / "dev.jsonl").write_text("\n".join(lines) + "\n")


async def test_rows_are_of_train_within_the_bound_and_in_the_order_of_their_digests(
    services: Services, served: Served, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dataset(tmp_path / "orders")
    asks_what_train_asks(path)
    directory.seal(path, directory.read(path), sealing_key(services))  # test is out of reach
    subject = subject_of(services, EvaluationWanted(str(task), str(path), "dev"))
    stop = await examples.stop_token(served)
    dev = await examples.rows(served, subject.loaded, subject.items, stop)
    monkeypatch.setattr(importance, "TOKENS", 100_000)
    every = await importance.learning(served, subject, stop, dev)
    assert {row.item for row in every} == {f"train{n:03}" for n in range(12, 120)}  # dev asks 12
    assert [row.item for row in every] != sorted(row.item for row in every)
    monkeypatch.setattr(importance, "TOKENS", 500)
    some = await importance.learning(served, subject, stop, dev)
    assert 0 < len(some) < 120 and some == every[: len(some)]
    told = Matrix({}, some).told()
    assert 500 - max(len(row.tokens) for row in every) < told.tokens <= 500
    assert told.split == "train" and told.rows == len(some)


def test_the_record_names_each_row_and_tells_matrices_apart() -> None:
    rows = (TokenRow("a", (1, 2), (3,)), TokenRow("b", (1, 4), (3,)))
    one, other = Matrix({"w": b"\0\0\x80?"}, rows), Matrix({"w": b"\0\0\0@"}, rows)
    assert one.row_digests() == [digest(rows[:1]), digest(rows[1:])]
    assert one.told() == Matrix(dict(one.weights), rows).told()
    assert one.told().sha256 != other.told().sha256
