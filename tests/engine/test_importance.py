"""Sums of squares of what a model's weights are given, from tensors as ggml has them in memory."""

import ctypes

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine.importance import GgmlTensor, Inputs
from appliance.errors import StateRefused

PRODUCT, OTHER, F16 = 29, 2, 1
Array = NDArray[np.float32]


class Node:
    def __init__(self, name: bytes, values: Array, *, op: int = PRODUCT, experts: int = 1) -> None:
        self.weight, self.given, self.node = GgmlTensor(), GgmlTensor(), GgmlTensor()
        self.weight.name, self.weight.ne[:] = name, (values.shape[-1], 8, experts, 1)
        self.values, self.node.op = values, op
        padded = (1,) * (4 - values.ndim) + values.shape
        outer = (values.strides[0] * len(values),) * (4 - values.ndim)
        self.given.ne[:], self.given.nb[:] = padded[::-1], (*values.strides[::-1], *outer)
        self.given.data = values.ctypes.data
        self.node.src[0], self.node.src[1] = map(ctypes.addressof, (self.weight, self.given))

    def told(self, inputs: Inputs) -> bool:
        """As the library asks; whether it is wanted."""
        address = ctypes.addressof(self.node)
        wanted = inputs.seen(address, True, None)
        if wanted:
            assert inputs.seen(address, False, None)
        return wanted


def numbers(matrix: dict[str, bytes], name: str) -> Array:
    return np.frombuffer(matrix[name], "<f4")


def test_it_is_the_mean_of_squares_and_what_texts_share_counts_once() -> None:
    values = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    inputs = Inputs(PRODUCT)
    for skipped in (0, 2):
        inputs.begin(4, skipped)
        assert Node(b"blk.0.ffn_up.weight", values).told(inputs)
        inputs.end()
    expected = ((values**2).sum(axis=0) + (values[2:] ** 2).sum(axis=0)) / 6
    assert numbers(inputs.matrix(), "blk.0.ffn_up.weight") == pytest.approx(expected)


def test_rows_that_lie_apart_are_read_where_they_are() -> None:
    wide = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, :, :3]  # the fourth is another's
    inputs = Inputs(PRODUCT)
    inputs.begin(5, 0)
    assert Node(b"blk.1.ffn_down.weight", wide).told(inputs)
    expected = (wide.reshape(-1, 3) ** 2).mean(axis=0)
    assert numbers(inputs.matrix(), "blk.1.ffn_down.weight") == pytest.approx(expected)


def test_other_nodes_are_left_alone() -> None:
    values, inputs = np.ones((4, 3), np.float32), Inputs(PRODUCT)
    half = Node(b"blk.0.attn_q.weight", values)
    half.given.type = F16
    others = [
        Node(b"blk.0.attn_q.weight", values, op=OTHER),
        Node(b"output.weight", values),
        Node(b"cache_k_l0 (view)", values),
        Node(b"blk.0.ffn_up_exps.weight", values, experts=4),
        half,
    ]
    assert not any(node.told(inputs) for node in others)
    with pytest.raises(StateRefused, match="No weights"):
        inputs.matrix()


def test_an_input_that_was_never_there_still_counts_a_little() -> None:
    inputs = Inputs(PRODUCT)
    inputs.begin(2, 0)
    Node(b"blk.0.attn_q.weight", np.array([[0, 2], [0, 2]], np.float32)).told(inputs)
    Node(b"blk.0.attn_k.weight", np.zeros((2, 2), np.float32)).told(inputs)
    found = inputs.matrix()
    low, high = numbers(found, "blk.0.attn_q.weight")
    assert high == 4 and 0 < low < 1e-5
    assert numbers(found, "blk.0.attn_k.weight").tolist() == [1, 1]


def test_what_is_no_number_is_refused() -> None:
    inputs = Inputs(PRODUCT)
    inputs.begin(1, 0)
    Node(b"blk.0.attn_q.weight", np.array([[np.nan, 1]], np.float32)).told(inputs)
    with pytest.raises(StateRefused, match=r"blk\.0\.attn_q"):
        inputs.matrix()


def test_an_error_within_the_library_is_raised_after_it() -> None:
    inputs = Inputs(PRODUCT)
    inputs.begin(2, 0)
    Node(b"blk.0.attn_q.weight", np.ones((2, 2), np.float32)).told(inputs)
    Node(b"blk.0.attn_q.weight", np.ones((2, 3), np.float32)).told(inputs)  # another width
    with pytest.raises(ValueError, match="broadcast"):
        inputs.end()
