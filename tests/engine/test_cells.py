"""KV accounting: one owner per id and per cell, never more than there is."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.cells import Cells

Operation = tuple[str, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "grow", "release"]), st.integers(0, 9), st.integers(0, 12)
    ),
    max_size=60,
)


def drive(cells: Cells, capacity: int, ids: int, todo: Sequence[Operation]) -> None:
    """Do operations on the cells and on a plain list of owned cells; they must agree."""
    held: dict[int, int] = {}
    for name, pick, count in todo:
        if name == "acquire":
            assert cells.has_id() == (len(held) < ids)
            if cells.has_id():
                new = cells.acquire()
                assert new not in held and 0 <= new < ids
                held[new] = 0
        elif held:
            seq = sorted(held)[pick % len(held)]
            if name == "grow":
                limit = held[seq] if cells.separate else sum(held.values())
                fits = limit + count <= capacity
                assert cells.room(seq) == capacity - limit
                assert cells.grow(seq, count) == fits
                held[seq] += count if fits else 0
            else:
                cells.release(seq)
                del held[seq]
        assert cells.used == sum(held.values())
        assert cells.room() == (capacity if cells.separate else capacity - sum(held.values()))


@settings(deadline=None)
@given(operations, st.integers(1, 40), st.integers(1, 6), st.booleans())
def test_accounting_agrees_with_a_plain_list(
    todo: list[Operation], capacity: int, ids: int, separate: bool
) -> None:
    drive(Cells(capacity, ids, separate=separate), capacity, ids, todo)


class GivesAnIdTwice(Cells):
    def acquire(self) -> int:
        seq = super().acquire()
        self._free_ids.insert(0, seq)
        return seq


class Overbooks(Cells):
    def grow(self, seq: int, count: int) -> bool:
        self._used[seq] += count
        return True


class KeepsReleasedCells(Cells):
    def release(self, seq: int) -> None:
        self._free_ids.append(seq)


@pytest.mark.parametrize("broken", [GivesAnIdTwice, Overbooks, KeepsReleasedCells])
def test_a_broken_accounting_is_caught(broken: type[Cells]) -> None:
    todo = [("acquire", 0, 0), ("grow", 0, 5), ("grow", 0, 5), ("release", 0, 0)]
    todo += [("acquire", 0, 0)] * 3
    drive(Cells(8, 2), 8, 2, todo)
    with pytest.raises(AssertionError):
        drive(broken(8, 2), 8, 2, todo)


def test_separate_streams_do_not_share_room() -> None:
    unified, separate = Cells(10, 2), Cells(10, 2, separate=True)
    for cells in (unified, separate):
        a, b = cells.acquire(), cells.acquire()
        assert cells.grow(a, 9)
        assert cells.grow(b, 9) is (cells is separate)
