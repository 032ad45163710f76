"""Edges of segments, and crashes there that lose nothing."""

import sys
from pathlib import Path

import pytest

from appliance.audit import rolling
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.rolling import SegmentLimits, room
from appliance.audit.tables import SPAN
from appliance.clock import FixedClock
from appliance.errors import AuditUnavailable
from tests.audit.logs import Intruder, admin, ask, found, new_log
from tests.audit.segmented import ROWS, fill, open_segments

pytestmark = pytest.mark.durable

DAY = 86_400_000_000


def names(directory: Path) -> list[str]:
    return [path.name for _, path in LogFiles(directory).segments()]


def test_a_segment_ends_at_a_multiple_of_a_span() -> None:
    limits = SegmentLimits(rows=3_000, days=31)
    assert room(0, 0, 2_999, 0, limits) is None
    assert room(0, 0, 3_000, 0, limits) == 72
    assert room(0, 0, 3_072, 0, limits) == 0
    assert room(3_072, 0, 3_072, 0, limits) is None
    assert room(0, 0, 5, 31 * DAY - 1, limits) is None
    assert room(0, 0, 5, 31 * DAY, limits) == SPAN - 5
    assert room(5_120, 0, 5_120, 99 * DAY, limits) is None  # an empty one


def test_a_batch_stops_where_the_segment_ends(tmp_path: Path) -> None:
    """A hundred appends at once, of one and of three entries, around the edge."""
    directory = new_log(tmp_path / "log")
    with open_segments(directory) as log:
        fill(log, ROWS - 50)
        waiting = [log.append(*(admin("x") for _ in range(1 + n % 3))) for n in range(100)]
        waiting += [log.append(admin("y")) for _ in range(2 * ROWS)]
        assert [r.seq for f in waiting for r in f.result()] == list(range(ROWS - 50, log.size))
    assert len(names(directory)) >= 2
    assert all(first % SPAN == 0 for first, _ in LogFiles(directory).segments())
    assert found(directory) == []


def test_time_ends_a_segment_too(tmp_path: Path) -> None:
    directory, clock = new_log(tmp_path / "log"), FixedClock()
    with open_segments(directory, clock) as log:
        fill(log, 30)
        clock.advance(32 * 86_400)
        fill(log, ROWS)
        fill(log, ROWS + 1)
    assert names(directory) == ["log.db", "log-0000000000001024.db"]


def test_a_new_segment_carries_what_is_needed_of_the_old_ones(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_segments(directory) as log:
        ask(log, "r")
        log.new_epoch().result()
        fill(log, ROWS + 1)
        before = log.size
    whole = Intruder(directory).all("SELECT level, idx, hash FROM node ORDER BY level, idx")
    newest = LogFiles(directory).segments()[-1][1]
    carried = Intruder(directory, newest)
    assert carried.all("SELECT level, idx, hash FROM node ORDER BY level, idx") == whole
    assert carried.all("SELECT block FROM span") == [(0,)]
    assert carried.all("SELECT size FROM handover") == [(4,)]
    with open_segments(directory) as log:
        assert log.size == before


@pytest.mark.parametrize("step", ["prepare", "finish", "opened"])
def test_42_a_crash_while_a_segment_begins_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    directory = new_log(tmp_path / "log")
    real_fill, real_finish = rolling._fill, rolling.finish

    def stop(*arguments: object) -> None:
        raise SystemError(f"the power went in {sys._getframe().f_back}")

    def half(path: Path, *arguments: object) -> None:
        real_fill(path, *arguments)  # type: ignore[arg-type]
        stop()

    def named(*arguments: object) -> None:
        real_finish(*arguments)  # type: ignore[arg-type]
        stop()

    log = open_segments(directory)
    fill(log, ROWS - 1)
    if step == "prepare":
        monkeypatch.setattr(rolling, "_fill", half)
    else:
        monkeypatch.setattr(rolling, "finish", stop if step == "finish" else named)
    (last,) = log.append(admin("at the edge")).result()
    assert last.seq == ROWS - 1
    with pytest.raises(AuditUnavailable):  # latched, as after any error that nobody knows
        while True:
            log.append(admin("after")).result()
    log.close()
    monkeypatch.undo()
    with open_segments(directory) as again:
        assert again.size == ROWS
        (first,) = again.append(admin("goes on")).result()
        assert first.seq == ROWS
    assert not list(directory.glob("*.new*"))
    assert found(directory) == []
    assert LogReader(directory).entry(last.seq).leaf == last.leaf


def test_a_disk_that_takes_no_new_file_keeps_the_log_in_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_log(tmp_path / "log")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with open_segments(directory) as log:
        monkeypatch.setattr(rolling, "_fill", full)
        fill(log, ROWS + 10)
        assert (names(directory), log.latched) == (["log.db"], None)
        monkeypatch.undo()
        fill(log, 2 * ROWS + 1)
    assert names(directory) == ["log.db", "log-0000000000002048.db"]
    assert found(directory) == []
