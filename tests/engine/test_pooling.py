"""Batching of whole texts, on a model that is a sum: order and company."""

from collections import deque
from collections.abc import Sequence as ReadOnly

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.engine.pooling import Pooling, Texts, rows_of
from appliance.engine.protocol import Row
from appliance.engine.threads import Threads


class SumModel:
    """One row a text: the sum of its ids, and how many there are."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []  # lengths of the texts of each batch
        self.threads: list[int] = []

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [ord(c) for c in text]

    def special(self, which: str) -> int:
        return 0

    def pool(self, texts: ReadOnly[ReadOnly[int]]) -> NDArray[np.float32]:
        self.batches.append([len(t) for t in texts])
        return np.array([[sum(t), len(t)] for t in texts], np.float32)

    def set_threads(self, count: int) -> None:
        self.threads.append(count)


def texts(number: int, *tokens: list[int]) -> Texts:
    return Texts(number, deque(tokens))


def values(row: Row) -> list[float]:
    return [float(x) for x in np.frombuffer(row.vector, "<f4")]


def drain(pooling: Pooling) -> list[Row]:
    rows = []
    while pooling.busy():
        rows += pooling.step().rows
    return rows


def test_rows_are_in_the_order_of_the_texts_and_the_last_one_ends_the_request() -> None:
    pooling = Pooling(SumModel(), batch_tokens=4, unit=False)
    pooling.add(texts(7, [1], [2, 3], [4, 5, 6]))
    rows = drain(pooling)
    assert [values(r) for r in rows] == [[1, 1], [5, 2], [15, 3]]
    assert [(r.id, r.finish) for r in rows] == [(7, None), (7, None), (7, "stop")]


def test_a_short_request_joins_the_next_batch_of_a_long_one() -> None:
    model = SumModel()
    pooling = Pooling(model, batch_tokens=4, unit=False)
    pooling.add(texts(1, *([n, n] for n in range(1, 9))))
    pooling.step()
    pooling.add(texts(2, [9, 9]))
    step = pooling.step()
    assert [(r.id, r.finish) for r in step.rows] == [(1, None), (2, "stop")]
    assert (step.running, step.waiting) == (1, 0)


def test_a_text_that_does_not_fit_any_more_is_first_in_the_next_batch() -> None:
    model = SumModel()
    pooling = Pooling(model, batch_tokens=10, unit=False)
    pooling.add(texts(1, *([[1]] * 30)))
    pooling.add(texts(2, [2] * 10))
    drain(pooling)
    assert model.batches[:3] == [[1], [10], [1] * 10]


def test_a_batch_has_no_more_texts_than_the_context_has_sequences() -> None:
    model = SumModel()
    pooling = Pooling(model, batch_tokens=100, batch_texts=3, unit=False)
    pooling.add(texts(1, *([[1]] * 7)))
    drain(pooling)
    assert model.batches == [[1] * 3, [1] * 3, [1]]


def test_a_cancelled_request_gets_one_last_row_and_is_not_computed_any_more() -> None:
    model = SumModel()
    pooling = Pooling(model, batch_tokens=1, unit=False)
    pooling.add(texts(1, [1], [1], [1]))
    pooling.add(texts(2, [5]))
    pooling.step()
    pooling.cancel(1)
    pooling.cancel(1)
    pooling.cancel(99)
    rows = drain(pooling)
    assert [(r.id, r.finish, values(r)) for r in rows] == [
        (1, "cancelled", []),
        (2, "stop", [5, 1]),
    ]
    assert len(model.batches) == 2
    pooling.cancel(2)
    assert pooling.step().rows == []


def test_waiting_counts_those_of_which_nothing_was_computed() -> None:
    pooling = Pooling(SumModel(), batch_tokens=2, unit=False)
    for number in (1, 2, 3):
        pooling.add(texts(number, [1, 1], [1, 1]))
    step = pooling.step()
    assert (step.running, step.waiting, step.cells_used) == (1, 2, 0)


def test_embeddings_have_length_one_and_scores_are_left_alone() -> None:
    tokens = [[3], [4, 4, 4]]
    unit = rows_of(SumModel(), tokens, unit=True)
    assert unit.dtype == np.float32
    assert np.allclose(np.linalg.norm(unit, axis=1), 1)
    assert np.allclose(unit[1] / unit[1, 1], [4, 1])
    assert rows_of(SumModel(), tokens, unit=False).tolist() == [[3, 1], [12, 3]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_vector_without_a_direction_ends_the_worker(bad: float) -> None:
    class Broken(SumModel):
        def pool(self, texts: ReadOnly[ReadOnly[int]]) -> NDArray[np.float32]:
            return np.full((len(texts), 2), bad, np.float32)

    with pytest.raises(RuntimeError):
        rows_of(Broken(), [[1]], unit=True)
    if bad != 0:
        with pytest.raises(RuntimeError):
            rows_of(Broken(), [[1]], unit=False)


def test_the_thread_count_follows_the_controller() -> None:
    class Falling(Threads):
        def record(self, tokens: int, seconds: float, cpu_seconds: float, now: float) -> int:
            assert tokens == 3
            self.count -= 1
            return self.count

    model = SumModel()
    pooling = Pooling(model, batch_tokens=3, unit=False, threads=Falling(4))
    pooling.add(texts(1, [1, 2], [3], [1, 2, 3]))
    drain(pooling)
    assert model.threads == [3, 2]


@settings(max_examples=200)
@given(
    requests=st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=12), max_size=8),
    cancelled=st.dictionaries(st.integers(0, 7), st.integers(0, 6)),
    most=st.integers(1, 5),
)
def test_each_request_gets_its_own_rows_whoever_else_is_there(
    requests: list[list[int]], cancelled: dict[int, int], most: int
) -> None:
    model = SumModel()
    pooling = Pooling(model, batch_tokens=8, batch_texts=most, unit=False)
    for number, lengths in enumerate(requests):
        pooling.add(texts(number, *([number] * length for length in lengths)))
    got: dict[int, list[Row]] = {number: [] for number in range(len(requests))}
    steps = 0
    while pooling.busy():
        for number, when in cancelled.items():
            if when == steps:
                pooling.cancel(number)
        for row in pooling.step().rows:
            assert not (got[row.id] and got[row.id][-1].finish), "a row after the last"
            got[row.id].append(row)
        steps += 1
    assert all(sum(batch) <= 8 and len(batch) <= most for batch in model.batches)
    for number, rows in got.items():
        whole = [[number * length, length] for length in requests[number]]
        if rows[-1].finish == "stop":
            assert [values(r) for r in rows] == whole
        else:
            assert rows[-1].finish == "cancelled"
            assert [values(r) for r in rows[:-1]] == whole[: len(rows) - 1]
