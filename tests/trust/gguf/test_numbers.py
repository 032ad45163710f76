"""Non-finite numbers are found in every type, wherever they lie."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.trust.gguf import numbers
from appliance.trust.gguf.lora import _TYPES
from appliance.trust.gguf.numbers import not_finite
from appliance.trust.gguf.tensors import TYPES, Tensor

BLOCKS = 40
BAD = {
    0: [struct.pack("<f", value) for value in (np.nan, np.inf, -np.inf)],
    1: [struct.pack("<e", value) for value in (np.nan, np.inf, -np.inf)],
    8: [struct.pack("<e", value) + bytes(32) for value in (np.nan, np.inf, -np.inf)],
    30: [struct.pack("<H", bits) for bits in (0x7FC0, 0x7F80, 0xFF80, 0x7F81)],
}


def test_every_type_that_adapters_may_have_is_looked_at() -> None:
    assert set(numbers._FINITE) == set(_TYPES) == set(BAD)


@given(kind=st.sampled_from(sorted(BAD)), data=st.data())
def test_one_bad_number_is_found_and_good_ones_are_not(kind: int, data: st.DataObject) -> None:
    block = TYPES[kind].bytes
    good = (np.arange(BLOCKS * block) % 100).astype(np.uint8)  # no exponent is all ones
    tensors = [(Tensor("first", (1,), good.size, kind), 7)]
    tensors.append((Tensor("second", (1,), good.size, kind), 7 + good.size))
    file = bytearray(7) + good.tobytes() * 2 + b"\xff" * 64
    assert not_finite(bytes(file), tensors) is None
    which = data.draw(st.integers(0, 1))
    at = 7 + which * good.size + data.draw(st.integers(0, BLOCKS - 1)) * block
    file[at : at + block] = data.draw(st.sampled_from(BAD[kind]))
    assert not_finite(bytes(file), tensors) == tensors[which][0].name


def test_large_tensors_are_looked_at_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_BLOCKS_AT_ONCE", 3)
    file = bytearray(4 * 10)
    assert not_finite(bytes(file), [(Tensor("a", (10,), 40, 0), 0)]) is None
    file[36:] = BAD[0][0]
    assert not_finite(bytes(file), [(Tensor("a", (10,), 40, 0), 0)]) == "a"


def test_of_the_beginning_of_a_file_what_is_there_counts() -> None:
    file = bytes(10) + BAD[0][0]
    assert not_finite(file, [(Tensor("a", (1 << 40,), 4 << 40, 0), 2)]) == "a"
    assert not_finite(file[:12], [(Tensor("a", (1 << 40,), 4 << 40, 0), 2)]) is None
    assert not_finite(file, [(Tensor("a", (1 << 40,), 4 << 40, 0), 99)]) is None
