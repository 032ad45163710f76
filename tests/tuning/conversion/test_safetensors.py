"""The table of a safetensors file: false ones are refused before a tensor is read."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.conversion import safetensors
from tests.tuning.conversion.directories import table

START = {"a": ("F16", (2, 3), 12), "b": ("F32", (4,), 16), "c": ("BF16", (5,), 10)}
SIZE = 38
Entries = dict[str, Any]


def read(entries: Entries | bytes, extra: int = 0) -> dict[str, safetensors.Stored]:
    head = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return safetensors.read(head, "x.safetensors", 8 + len(head) + SIZE + extra)


def test_tensors_are_where_the_table_says() -> None:
    entries = {"__metadata__": {"format": "pt"}, **table(START)}
    head = json.dumps(entries).encode()
    found = read(entries)
    assert [(one.dtype, one.shape, one.size) for one in found.values()] == list(START.values())
    assert found["b"].at == 8 + len(head) + 12


def put(name: str, key: str, value: Any) -> Callable[[Entries], object]:
    return lambda entries: entries[name].update({key: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("b", "data_offsets", [8, 24]), "overlaps another"),
        (put("c", "data_offsets", [29, 39]), "hole"),
        (put("b", "data_offsets", [12, 12 + 2**40]), "bytes, and its shape"),
        (put("b", "shape", [5]), "its shape has 20"),
        (put("b", "shape", [-4]), "no tensor has"),
        (put("b", "shape", [2**24, 2**24, 2**24]), "its shape has"),
        (put("b", "shape", []), "no tensor has"),
        (put("b", "shape", [0]), "no tensor has"),
        (put("b", "shape", [True]), "no tensor has"),
        (put("b", "shape", 4), "is none"),
        (put("b", "data_offsets", [28, 12]), "and its shape"),
        (put("b", "data_offsets", [12]), "is none"),
        (put("b", "dtype", "I64"), "not F32, F16, BF16"),
        (put("b", "dtype", ["F32"]), "not F32, F16, BF16"),
        (lambda entries: entries.update(b=7), "is none"),
        (lambda entries: entries.pop("c"), "ends at"),
        (lambda entries: entries.clear(), "ends at"),
    ],
)
def test_a_table_that_lies_is_refused(change: Callable[[Entries], object], said: str) -> None:
    entries = table(START)
    change(entries)
    with pytest.raises(TuningRefused, match=said) as refused:
        read(entries)
    assert refused.value.code == "convert_tensors"


def test_bytes_that_follow_are_refused() -> None:
    with pytest.raises(TuningRefused, match="ends at"):
        read(table(START), extra=1)


@pytest.mark.parametrize(
    "head",
    [b"[]", b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000, b"{}" + bytes(4)],
)
def test_what_is_no_table_is_refused(head: bytes) -> None:
    with pytest.raises(TuningRefused) as refused:
        read(head)
    assert refused.value.code == "convert_source"


def test_the_length_of_the_table_is_bounded_by_the_file() -> None:
    assert safetensors.table_size((30).to_bytes(8, "little"), "x", 38) == 30
    for claimed, size in ((31, 38), (2**63, 38), (1, 38), (65 << 20, 1 << 40)):
        with pytest.raises(TuningRefused, match="claims"):
            safetensors.table_size(claimed.to_bytes(8, "little"), "x", size)
    with pytest.raises(TuningRefused, match="claims"):
        safetensors.table_size(b"\x02", "x", 1)
