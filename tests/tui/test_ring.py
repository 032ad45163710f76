"""A ring of points that outlives the program."""

from pathlib import Path

from tui.rates import RatePoint
from tui.ring import KEPT, NOW, Ring, newest, read, write

NOON = 1_795_003_200.0
HOUR, DAY, MONTH = KEPT


def test_a_slot_holds_the_mean_and_what_nobody_saw_is_a_gap() -> None:
    ring = Ring()
    ring.add(RatePoint(tokens=10.0), NOON)
    ring.add(RatePoint(tokens=30.0), NOON + 1)
    found = ring.series(HOUR, "tokens", NOON + 29)
    assert len(found) == HOUR.slots and found[-1] == 20.0
    assert found[:-1] == [None] * (HOUR.slots - 1)
    assert ring.series(MONTH, "tokens", NOON)[-1] == 20.0


def test_a_turn_later_the_old_value_is_gone() -> None:
    ring = Ring()
    ring.add(RatePoint(tokens=10.0), NOON)
    assert ring.series(HOUR, "tokens", NOON + HOUR.whole - HOUR.seconds)[0] == 10.0
    assert set(ring.series(HOUR, "tokens", NOON + HOUR.whole)) == {None}


def test_the_file_keeps_everything_and_its_size(tmp_path: Path) -> None:
    ring, path = Ring(), tmp_path / "state" / "a.ring"
    write(ring, path)
    empty = path.stat().st_size
    for second in range(0, 86_400, 600):
        ring.add(RatePoint(tokens=float(second), kv=0.5, ttft_p95=None), NOON + second)
    write(ring, path)
    again, last = read(path), NOON + 86_400 - 600
    for span in KEPT:
        for field in ("tokens", "kv", "ttft_p95"):
            assert again.series(span, field, last) == ring.series(span, field, last)
    assert path.stat().st_size == empty < 40_000
    assert [found.name for found in path.parent.iterdir()] == ["a.ring"]


def test_a_file_that_is_none_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.ring"
    for data in (b"", b"nonsense", Ring().to_bytes()[:-1]):
        path.write_bytes(data)
        assert set(read(path).series(DAY, "tokens", NOON)) == {None}
    path.unlink()
    path.mkdir()  # nor can it be written: the charts are lost, the program goes on
    write(Ring(), path)
    assert set(read(path).series(DAY, "tokens", NOON)) == {None}


def test_the_newest_are_what_this_program_saw() -> None:
    shown = newest([RatePoint(tokens=1.0), RatePoint(tokens=2.0)], "tokens")
    assert shown[-2:] == [1.0, 2.0] and shown[:-2] == [None] * (NOW.slots - 2)
