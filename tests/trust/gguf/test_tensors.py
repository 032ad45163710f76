"""The tensor table: shapes, types and the exact place of every byte."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import Kind, Reader, read_header
from appliance.trust.gguf.tensors import MAX_ALIGNMENT, TYPES, read_tensors
from tests.trust.forge import Gguf, Tensor, array, scalar, u32

Change = Callable[[Gguf], object]


def tensors(data: bytes) -> dict[str, int]:
    reader = Reader(data, len(data))
    return {name: row.bytes for name, row in read_tensors(reader, read_header(reader)).items()}


def first(**fields: object) -> Change:
    def change(gguf: Gguf) -> None:
        for name, value in fields.items():
            setattr(gguf.tensors[0], name, value)

    return change


def second(offset: int) -> Change:
    return lambda gguf: setattr(gguf.tensors[1], "offset", offset)


def aligned(value: bytes, alignment: int = 32) -> Change:
    def change(gguf: Gguf) -> None:
        gguf.pairs["general.alignment"] = value
        gguf.alignment = alignment

    return change


BIG = (1 << 63) - 1
CASES: dict[str, tuple[Change, str]] = {
    "alignment 0": (aligned(u32(0)), "gguf_alignment"),
    "alignment below a vector": (aligned(u32(16), 16), "gguf_alignment"),
    "alignment 3": (aligned(u32(3)), "gguf_alignment"),
    "alignment 96": (aligned(u32(96), 96), "gguf_alignment"),
    "alignment 2^31": (aligned(u32(1 << 31)), "gguf_alignment"),
    "alignment above the limit": (
        aligned(u32(MAX_ALIGNMENT * 2), MAX_ALIGNMENT * 2),
        "gguf_alignment",
    ),
    "alignment of another type": (aligned(scalar(Kind.UINT64, 32)), "gguf_alignment"),
    "alignment an array": (aligned(array(Kind.UINT32, [32])), "gguf_alignment"),
    "alignment a boolean": (aligned(scalar(Kind.BOOL, 1)), "gguf_alignment"),
    "empty name": (first(name=""), "gguf_name"),
    "long name": (first(name="n" * 64), "gguf_name"),
    "name with NUL": (first(name=b"a\0b"), "gguf_name"),
    "name not ASCII": (first(name="größe"), "gguf_name"),
    "name twice": (first(name="output_norm.weight"), "gguf_duplicate"),
    "no dimensions": (first(shape=()), "gguf_tensor_shape"),
    "five dimensions": (first(shape=(32, 8, 1, 1, 1)), "gguf_tensor_shape"),
    "extent 0": (first(shape=(32, 0)), "gguf_tensor_shape"),
    "extent negative": (first(shape=(32, -8)), "gguf_tensor_shape"),
    "product overflows": (first(shape=(BIG - BIG % 32, 2)), "gguf_tensor_shape"),
    "product of four overflows": (first(shape=(1 << 16,) * 4), "gguf_tensor_shape"),
    "product overflows though its bytes do not": (
        first(shape=(1 << 62, 4), type=41),
        "gguf_tensor_shape",
    ),
    "bytes overflow": (first(shape=(BIG,), type=27), "gguf_tensor_shape"),
    "padding would wrap": (first(shape=((1 << 63) - 4,), type=24), "gguf_tensor_shape"),
    "removed type": (first(type=4), "gguf_tensor_type"),
    "repacked type": (first(type=31), "gguf_tensor_type"),
    "future type": (first(type=43), "gguf_tensor_type"),
    "type 2^32-1": (first(type=0xFFFFFFFF), "gguf_tensor_type"),
    "row not in blocks": (first(shape=(31, 8)), "gguf_tensor_shape"),
    "first not at 0": (first(offset=32), "gguf_tensor_offset"),
    "unaligned": (second(161), "gguf_tensor_offset"),
    "overlap": (second(0), "gguf_tensor_offset"),
    "overlap in the padding": (second(8 * 18), "gguf_tensor_offset"),
    "gap": (second(192), "gguf_tensor_offset"),
    "past the end": (second(1 << 40), "gguf_tensor_offset"),
    "offset 2^64-32": (second((1 << 64) - 32), "gguf_tensor_offset"),
    "data too short": (lambda g: setattr(g, "cut", len(g.build()) - 1), "gguf_truncated"),
    "one byte more": (lambda g: setattr(g, "tail", b"\0"), "gguf_trailing"),
    "a page more": (lambda g: setattr(g, "tail", bytes(4096)), "gguf_trailing"),
    "larger than the file": (first(shape=(32, 1 << 40)), "gguf_tensor_offset"),
    "table longer than the file": (lambda g: setattr(g, "n_tensors", 8_000), "gguf_name"),
}


@pytest.mark.parametrize(("change", "code"), CASES.values(), ids=CASES)
def test_rejected(change: Change, code: str) -> None:
    gguf = Gguf()
    change(gguf)
    with pytest.raises(GgufRejected) as caught:
        tensors(gguf.build())
    assert caught.value.code == code


def test_accepted() -> None:
    assert tensors(Gguf().build()) == {
        "token_embd.weight": 8 * 18,
        "output_norm.weight": 33 * 4,
        "output.weight": 32 * 8 * 4,
    }


@given(
    kind=st.sampled_from(sorted(TYPES)),
    blocks=st.integers(1, 5),
    rows=st.integers(1, 5),
    alignment=st.sampled_from([32, 64, 4096]),
)
def test_sizes_follow_from_blocks(kind: int, blocks: int, rows: int, alignment: int) -> None:
    block = TYPES[kind]
    size = blocks * rows * block.bytes
    gguf = Gguf(tensors=[Tensor("a", (blocks * block.elements, rows), kind, size)])
    gguf.tensors.append(Tensor("b", (1,), 0, 4))
    gguf.alignment = alignment
    gguf.pairs["general.alignment"] = u32(alignment)
    assert tensors(gguf.build()) == {"a": size, "b": 4}


def test_tensors_in_another_order_than_their_data_are_refused() -> None:
    gguf = Gguf()
    gguf.tensors[0].offset, gguf.tensors[2].offset = 320, 0
    with pytest.raises(GgufRejected) as caught:
        tensors(gguf.build())
    assert caught.value.code == "gguf_tensor_offset"
