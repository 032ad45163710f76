"""Rows of a step: each once an epoch, in parts that fit, the same at every start."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.tuning.rows import TokenRow
from appliance.tuning.trainer import batches


@given(st.integers(1, 60), st.integers(1, 17), st.integers(0, 5))
def test_each_epoch_has_every_row_once(rows: int, batch: int, seed: int) -> None:
    each = batches.steps(rows, batch, 1)
    for epoch in range(2):
        steps = [batches.step_rows(rows, batch, seed, epoch * each + n) for n in range(each)]
        assert sorted(n for step in steps for n in step) == list(range(rows))
        assert all(0 < len(step) <= batch for step in steps)


def test_the_order_follows_from_seed_and_step_alone() -> None:
    known = [batches.step_rows(50, 8, 3, step) for step in range(14)]
    assert known[9] == batches.step_rows(50, 8, 3, 9)
    assert known[0] != known[7]  # the next epoch has another order
    assert known != [batches.step_rows(50, 8, 4, step) for step in range(14)]


def test_steps_of_parts_of_an_epoch() -> None:
    assert batches.steps(100, 16, 2) == 14
    assert batches.steps(100, 16, 0.5) == 4
    assert batches.steps(1, 16, 0.1) == 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(4, 60))
def test_parts_fit_and_leave_nothing_out(lengths: list[int], most: int) -> None:
    rows = [TokenRow(str(n), (1, 5, *range(size)), (7, 2)) for n, size in enumerate(lengths)]
    found = batches.parts(rows, range(len(rows)), 2, most)
    assert sorted(n for part in found for n in part) == list(range(len(rows)))
    for part in found:
        longest = max(len(rows[n].inputs) for n in part) - 2
        assert len(part) == 1 or 2 + longest * len(part) <= most


def test_what_an_epoch_computes_counts_the_filling() -> None:
    rows = [TokenRow("a", (1, 5), (2,)), TokenRow("b", (1, 5, 6, 7), (8, 2))]
    assert batches.computed(rows, 1, 100, 2, 0) == 1 + 2 * 4
    assert batches.computed(rows, 1, 4, 2, 0) == (1 + 1) + (1 + 4)
