"""The files of a seed: a checkpoint takes the place of the last one, or not at all."""

from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.trust import durable
from appliance.tuning import losses, training


def test_a_full_disk_at_a_checkpoint_ends_it_and_keeps_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = training.Files(tmp_path, 0)
    files.keep(training._Kept(b"first", [], 0.0, 1.0))

    def full(path: Path, data: bytes, mode: int = 0o600) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(TuningRefused, match="No space left") as refused:
        files.keep(training._Kept(b"second", [], 0.0, 2.0))
    assert refused.value.code == "tuning_checkpoint"
    kept = files.kept()
    assert kept is not None and kept.data == b"first"


def test_losses_are_told_as_they_come_and_a_full_disk_ends_it(tmp_path: Path) -> None:
    files = training.Files(tmp_path, 3, "-25%")
    files.tell([training.Curve(1, 2.5)], again=True)
    files.tell([training.Curve(2, 2.0, 1.5)])
    assert [(run.name, len(run.points)) for run in losses.read(tmp_path)] == [("seed-3-25%", 2)]
    with pytest.raises(TuningRefused) as refused:
        training.Files(tmp_path / "gone", 3).tell([training.Curve(1, 2.5)])
    assert refused.value.code == "tuning_checkpoint"
