"""KV accounting: one owner per id and per cell, never more than there is."""

from collections.abc import Sequence as ReadOnly

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.cells import Cells
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

Operation = tuple[str, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "grow", "release"]), st.integers(0, 9), st.integers(0, 12)
    ),
    max_size=60,
)


def sequence(tokens: ReadOnly[int] = (1,), scope: str = "") -> Sequence:
    return Sequence(1, list(tokens), Sampling(), 1, TextStream(), scope=scope)


def take(cells: Cells, wanted: Sequence) -> int:
    cells.acquire(wanted)
    assert wanted.slot is not None
    return wanted.slot


def drive(cells: Cells, capacity: int, ids: int, todo: ReadOnly[Operation]) -> None:
    held: dict[int, int] = {}
    owners: dict[int, Sequence] = {}
    for name, pick, count in todo:
        if name == "acquire":
            assert cells.has_id() == (len(held) < ids)
            if cells.has_id():
                owner = sequence()
                new = take(cells, owner)
                assert new not in held and 0 <= new < ids
                held[new], owners[new] = 0, owner
        elif held:
            seq = sorted(held)[pick % len(held)]
            if name == "grow":
                limit = held[seq] if cells.separate else sum(held.values())
                fits = limit + count <= capacity
                assert cells.room(seq) == capacity - limit
                assert cells.grow(seq, count) == fits
                held[seq] += count if fits else 0
            else:
                cells.release(owners.pop(seq))
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
    def acquire(self, sequence: Sequence) -> None:
        super().acquire(sequence)
        self._free_ids.insert(0, sequence.slot or 0)


class Overbooks(Cells):
    def grow(self, seq: int, count: int) -> bool:
        self._own += count
        return True


class KeepsReleasedCells(Cells):
    def release(self, sequence: Sequence) -> None:
        own = self._own
        super().release(sequence)
        self._own = own


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
        a, b = take(cells, sequence()), take(cells, sequence())
        assert cells.grow(a, 9)
        assert cells.grow(b, 9) is (cells is separate)


def test_what_is_kept_makes_room_for_what_runs() -> None:
    cells = Cells(40, 2, 4)
    first = sequence(range(30))
    slot = take(cells, first)
    assert cells.grow(slot, 30)
    first.computed = 30
    cells.keep(first)
    assert (cells.used, cells.kept) == (30, 0)  # in use: not to be evicted
    cells.release(first)
    assert (cells.used, cells.kept, cells.room()) == (30, 30, 40)
    other = take(cells, sequence(range(100, 140)))
    assert cells.grow(other, 25)
    assert (cells.used, cells.kept) == (40, 15)  # only as much as was lacking is gone
    assert cells.match(sequence(range(30))) == 15 and cells.grow(other, 15)
    assert (cells.used, cells.kept) == (40, 0)
    assert not cells.grow(other, 1)
