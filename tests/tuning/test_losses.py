"""The shown losses: as they come, whole after a crash, never too many."""

import os
from pathlib import Path

from appliance.tuning import losses
from appliance.tuning.losses import LossAt, RunLosses


def test_steps_are_added_and_a_run_begins_again_where_it_resumes(tmp_path: Path) -> None:
    path = tmp_path / "seed-0.losses"
    losses.write(path, [LossAt(1, 3.0), LossAt(2, 2.5, 2.25)], again=True)
    losses.write(path, [LossAt(3, 2.0)])
    assert losses.read(tmp_path)[0].points == (LossAt(1, 3.0), LossAt(2, 2.5, 2.25), LossAt(3, 2.0))
    losses.write(path, [LossAt(1, 3.0)], again=True)
    losses.write(path, [LossAt(2, 2.4)])
    assert losses.read(tmp_path) == [RunLosses("seed-0", (LossAt(1, 3.0), LossAt(2, 2.4)))]


def test_the_run_that_was_written_last_stands_last(tmp_path: Path) -> None:
    for at, name in enumerate(("seed-10", "seed-2", "seed-2-25%")):
        path = tmp_path / f"{name}.losses"
        losses.write(path, [LossAt(1, 1.0)])
        os.utime(path, (at, at))
    assert [run.name for run in losses.read(tmp_path)] == ["seed-10", "seed-2", "seed-2-25%"]
    assert losses.read(tmp_path / "none") == []


def test_a_line_that_was_cut_short_and_a_loss_that_is_no_number_are_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "seed-0.losses"
    losses.write(path, [LossAt(1, 3.0), LossAt(2, float("nan"))])
    with path.open("ab") as file:
        file.write(b"[3, 2.")
    assert losses.read(tmp_path)[0].points == (LossAt(1, 3.0),)


def test_of_many_steps_some_are_shown_with_the_last_and_all_of_dev() -> None:
    many = [LossAt(n, 1.0, 0.5 if n == 7 else None) for n in range(1, 1001)]
    kept = losses.thinned(many, 100)
    assert 100 <= len(kept) <= 103
    assert kept[0] == many[0] and kept[-1] == many[-1] and many[6] in kept
    assert losses.thinned(many[:5], 100) == tuple(many[:5])
    assert losses.thinned([]) == ()
