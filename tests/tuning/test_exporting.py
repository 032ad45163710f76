"""Output of a tuning on the disk, and the sources in its record."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.datasets.items import Item
from appliance.errors import TuningRefused
from appliance.evals.outcomes import Outcome
from appliance.tasks import definition
from appliance.trust.artifacts.adapter import Base, parse_statement
from appliance.trust.bytes import durable
from appliance.tuning import exporting, record, rows
from appliance.tuning.exporting import ADAPTER, TASK
from appliance.tuning.rows import TokenRow
from appliance.tuning.settings import TuneSettings
from appliance.tuning.training_data import TrainingItems
from tests.evals.orders import TASK as DEFINITION
from tests.tuning.example import kept
from tests.tuning.trained import SCORES, trained

BOUND = Base("ab" * 32, "cd" * 32)
MODEL: Any = SimpleNamespace(id="smol", digest="ab" * 32, gguf_sha256="cd" * 32)


def given() -> TrainingItems:
    """Two rows of train, one of them answered by a model, and two of dev: one has their text."""
    loaded = SimpleNamespace(task=definition.parse(DEFINITION.encode()), digest="ef" * 32)
    subject: Any = SimpleNamespace(loaded=loaded, data_digest="12" * 32, drafts=("task",))
    items = tuple(Item(f"t{n}", f"g{n}", {"text": "a"}, "engine") for n in range(2))
    items = (items[0], replace(items[1], teacher="34" * 32))
    learned = tuple(TokenRow(item.id, (1, 5), (7, 2)) for item in items)
    dev = (Item("d0", "g9", {"text": "A "}, "engine"), Item("d1", "g9", {"text": "b"}, "engine"))
    chosen = tuple(TokenRow(item.id, (1, 6), (7, 2)) for item in dev)
    return TrainingItems(subject, items, dev, learned, chosen, stop=2, begin=1)


def test_the_adapter_its_statement_and_its_record_lie_together(tmp_path: Path) -> None:
    path = exporting.export(tmp_path, b"GGUF", BOUND, kept(threads=1), {"task.toml": b"x"}, b"{}")
    assert path == tmp_path / ADAPTER
    names = {"adapter.gguf", "adapter.json", "training.json"}
    assert {file.name for file in path.iterdir()} == names
    assert parse_statement((path / "adapter.json").read_bytes()) == BOUND
    assert record.read(path).threads == 1
    assert (tmp_path / TASK / "task.toml").read_bytes() == b"x"
    assert (tmp_path / "outcomes.json").read_bytes() == b"{}"
    exporting.export(tmp_path, b"GGUF2", BOUND, kept(threads=2), {"task.toml": b"y"}, b"{}")
    assert record.read(path).threads == 2  # a job that a crash ended before it was done
    assert {p.name for p in tmp_path.iterdir()} == {ADAPTER, TASK, "outcomes.json"}


@pytest.mark.parametrize("written", range(5))
def test_a_disk_that_is_full_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    (tmp_path / "seed-0.done").write_bytes(b"kept")
    left = [written]

    def full(path: Path, data: bytes, mode: int) -> None:
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        whole(path, data, mode)

    whole = durable.replace
    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(TuningRefused, match="No space left") as refused:
        exporting.export(tmp_path, b"GGUF", BOUND, kept(threads=1), {"task.toml": b"x"}, b"{}")
    assert refused.value.code == "tuning_checkpoint"
    assert [p.name for p in tmp_path.iterdir()] == ["seed-0.done"]
    left[0] = 5
    exporting.export(tmp_path, b"GGUF", BOUND, kept(threads=1), {"task.toml": b"x"}, b"{}")
    assert record.read(tmp_path / ADAPTER).threads == 1  # once there is room, the resumed job ends


def test_all_that_the_adapter_follows_from_is_named() -> None:
    read = given()
    first = trained()
    other = trained(1, scores=SCORES[:1])
    told = exporting.sources(read, TuneSettings(rank=4), [first, other], first, MODEL, judged=4)
    assert told.base.document == {"id": "smol", "oms_root": "ab" * 32, "gguf_sha256": "cd" * 32}
    assert told.task.digest == "ef" * 32 and told.data.digest == "12" * 32
    assert told.data.rows_sha256 == rows.digest(read.rows)
    assert told.data.draft is False  # it was approved
    assert (told.data.dev, told.data.dev_seen) == (2, 1)
    assert told.data.judged_seen == 4
    assert (told.data.taught, told.data.teachers) == (1, ["34" * 32])
    assert told.settings["rank"] == 4 and told.seed == 0
    assert told.spread_nats == pytest.approx(0.3 - 0.25)
    assert [one.losses[1].dev for one in told.seeds] == [0.25, 0.25]
    assert told.seeds[0].best_step == 2


def test_quality_counts_groups() -> None:
    outcomes = [
        Outcome(f"d{n}", group, "engine", "engine", micros, 1)
        for n, (group, micros) in enumerate((("a", 1_000_000), ("a", 0), ("b", 1_000_000)))
    ]
    found = exporting.quality(definition.parse(DEFINITION.encode()), outcomes)
    assert found.value == 0.75 and found.groups == 2
    low, high = found.interval
    assert low < 0.75 < high
