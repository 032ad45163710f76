"""Header and metadata: each limit and each malformed value has its code."""

import struct
from collections.abc import Callable

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import (
    MAX_ARRAY,
    MAX_PAIRS,
    MAX_STRING,
    MAX_TENSORS,
    Array,
    Kind,
    Reader,
    Scalar,
    read_header,
)
from tests.trust.forge import Gguf, array, scalar, string, u32

Change = Callable[[Gguf], object]


def extra(key: str | bytes, value: bytes) -> Change:
    return lambda gguf: gguf.extra_pairs.append((key, value))


def version(number: bytes) -> Change:
    return lambda gguf: setattr(gguf, "version", number)


def typed(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<I", kind) + body


def strings_to_the_end(gguf: Gguf) -> None:
    gguf.tensors.clear()
    gguf.n_tensors = 1
    gguf.extra_pairs.append(("x", array(Kind.STRING, [], count=9)))


CASES: dict[str, tuple[Change, str]] = {
    "magic": (lambda g: setattr(g, "magic", b"GGML"), "gguf_magic"),
    "version 0": (version(struct.pack("<I", 0)), "gguf_version"),
    "version 1": (version(struct.pack("<I", 1)), "gguf_version"),
    "version 4": (version(struct.pack("<I", 4)), "gguf_version"),
    "big-endian": (version(struct.pack(">I", 3)), "gguf_version"),
    "no tensors": (lambda g: setattr(g, "n_tensors", 0), "gguf_limit"),
    "too many tensors": (lambda g: setattr(g, "n_tensors", MAX_TENSORS + 1), "gguf_limit"),
    "tensors 2^64-1": (lambda g: setattr(g, "n_tensors", (1 << 64) - 1), "gguf_limit"),
    "no keys": (lambda g: setattr(g, "n_pairs", 0), "gguf_limit"),
    "too many keys": (lambda g: setattr(g, "n_pairs", MAX_PAIRS + 1), "gguf_limit"),
    "more keys than there are": (lambda g: setattr(g, "n_pairs", MAX_PAIRS), "gguf_name"),
    "empty key": (extra("", u32(1)), "gguf_name"),
    "long key": (extra("k" * 257, u32(1)), "gguf_name"),
    "key with NUL": (extra(b"a\0b", u32(1)), "gguf_name"),
    "key not ASCII": (extra("schlüssel", u32(1)), "gguf_name"),
    "key with a space": (extra("a b", u32(1)), "gguf_name"),
    "key twice": (extra("general.name", string("x")), "gguf_duplicate"),
    "unknown type": (extra("x", typed(13, bytes(8))), "gguf_value"),
    "type 2^32-1": (extra("x", typed(0xFFFFFFFF)), "gguf_value"),
    "boolean 2": (extra("x", typed(Kind.BOOL, b"\x02")), "gguf_value"),
    "boolean 2 in an array": (extra("x", array(Kind.BOOL, [0, 1, 2])), "gguf_value"),
    "array of arrays": (extra("x", array(Kind.ARRAY, [], count=1)), "gguf_value"),
    "array of an unknown type": (extra("x", array(77, [], count=1)), "gguf_value"),
    "array of 2^60": (extra("x", array(Kind.UINT8, [], count=1 << 60)), "gguf_limit"),
    "strings above the limit": (
        extra("x", array(Kind.STRING, [], count=MAX_ARRAY + 1)),
        "gguf_limit",
    ),
    "array longer than the file": (
        extra("x", array(Kind.UINT64, [], count=MAX_ARRAY)),
        "gguf_truncated",
    ),
    "string above the limit": (extra("x", string("x" * (MAX_STRING + 1))), "gguf_limit"),
    "string of 2^63": (
        extra("x", typed(Kind.STRING, struct.pack("<Q", 1 << 63))),
        "gguf_limit",
    ),
    "string longer than the file": (
        extra("x", typed(Kind.STRING, struct.pack("<Q", MAX_STRING))),
        "gguf_truncated",
    ),
    "strings that end too early": (strings_to_the_end, "gguf_truncated"),
    "string not UTF-8": (extra("x", string(b"\xff")), "gguf_string"),
    "surrogate in a string": (extra("x", string(b"\xed\xa0\x80")), "gguf_string"),
    "string with NUL": (extra("x", string(b"a\0b")), "gguf_string"),
    "array string not UTF-8": (extra("x", array(Kind.STRING, [b"a", b"\xc3"])), "gguf_string"),
    "a character cut by two strings": (
        extra("x", array(Kind.STRING, [b"\xc3", b"\xa4"])),
        "gguf_string",
    ),
    "array string with NUL": (extra("x", array(Kind.STRING, [b"a\0", b"b"])), "gguf_string"),
}


@pytest.mark.parametrize(("change", "code"), CASES.values(), ids=CASES)
def test_rejected(change: Change, code: str) -> None:
    gguf = Gguf()
    change(gguf)
    data = gguf.build()
    with pytest.raises(GgufRejected) as caught:
        read_header(Reader(data, len(data)))
    assert caught.value.code == code


def test_every_kind_of_value_is_read() -> None:
    gguf = Gguf()
    for kind, value in {
        Kind.UINT8: 255,
        Kind.INT8: -1,
        Kind.UINT16: 65_535,
        Kind.INT16: -1,
        Kind.UINT32: 0xFFFFFFFF,
        Kind.INT32: -1,
        Kind.FLOAT32: 0.5,
        Kind.BOOL: 1,
        Kind.UINT64: (1 << 64) - 1,
        Kind.INT64: -1,
        Kind.FLOAT64: 0.25,
        Kind.STRING: "grüß dich",
    }.items():
        gguf.extra_pairs.append((f"one.{kind.name}", scalar(kind, value)))
        gguf.extra_pairs.append((f"two.{kind.name}", array(kind, [value, value])))
    data = gguf.build()
    metadata = read_header(Reader(data, len(data))).metadata
    assert metadata["one.INT8"] == Scalar(Kind.INT8, -1)
    assert metadata["one.UINT64"] == Scalar(Kind.UINT64, (1 << 64) - 1)
    assert metadata["one.STRING"] == Scalar(Kind.STRING, "grüß dich")
    integers = metadata["two.INT16"]
    assert isinstance(integers, Array)
    assert integers.integers() == [-1, -1]
    strings = metadata["two.STRING"]
    assert isinstance(strings, Array)
    assert [part.decode() for part in strings.strings] == ["grüß dich"] * 2


def test_limits_are_inclusive() -> None:
    gguf = Gguf()
    extra("k" * 256, string("x" * MAX_STRING))(gguf)
    data = gguf.build()
    assert "k" * 256 in read_header(Reader(data, len(data))).metadata


def test_the_size_of_the_file_bounds_what_is_read() -> None:
    data = Gguf().build()
    with pytest.raises(GgufRejected) as caught:
        read_header(Reader(data, 100))
    assert caught.value.code == "gguf_truncated"
