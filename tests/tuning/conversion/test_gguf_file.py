"""The beginning of a GGUF file, by the reader that vets what is imported."""

from appliance.trust.gguf.reader import Array, Kind, Reader, Scalar, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from appliance.tuning.conversion.gguf_file import (
    TensorPlace,
    f32,
    flag,
    head,
    i32s,
    padding,
    text,
    texts,
    u32,
)


def test_the_reader_finds_what_was_written() -> None:
    pairs = {
        "general.name": text("größe"), "a.number": u32(7), "a.share": f32(0.5),
        "a.flag": flag(True), "a.texts": texts(["x", "yz"]), "a.numbers": i32s([-1, 2]),
    }  # fmt: skip
    tensors = [TensorPlace("one.weight", (2, 3), 1, 12), TensorPlace("two.weight", (5,), 0, 20)]
    start = head(pairs, tensors)
    data = start + b"".join(bytes(t.size + padding(t.size)) for t in tensors)
    reader = Reader(data, len(data))
    header = read_header(reader)
    assert header.metadata["general.name"] == Scalar(Kind.STRING, "größe")
    assert header.metadata["a.number"] == Scalar(Kind.UINT32, 7)
    assert header.metadata["a.share"] == Scalar(Kind.FLOAT32, 0.5)
    assert header.metadata["a.flag"] == Scalar(Kind.BOOL, 1)
    strings, numbers = header.metadata["a.texts"], header.metadata["a.numbers"]
    assert isinstance(strings, Array) and strings.strings == (b"x", b"yz")
    assert isinstance(numbers, Array) and numbers.integers() == [-1, 2]
    found = list(places(reader, header, read_tensors(reader, header)))
    assert [(t.name, t.shape, t.type) for t, _ in found] == [
        ("one.weight", (3, 2), 1), ("two.weight", (5,), 0),
    ]  # fmt: skip
    assert [at for _, at in found] == [len(start), len(start) + 32] and len(start) % 32 == 0
