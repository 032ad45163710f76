"""The manifest is parsed strictly: every rule has an input that it refuses."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.host import manifest
from installer.host.manifest import Chunk, Manifest, Part, Requirements, Tree
from installer.host.problems import InstallError

D = "ab" * 32


def part(name: str, kind: str, when: str = "", size: int = 3) -> Part:
    return Part(name, kind, size, D, (Chunk(f"blobs/{kind}-{name}.000", size, D),), when)


def example(*more: Part) -> Manifest:
    parts = (part("runtime.tar.gz", "runtime"), part("i", "installer"), part("t", "tree"), *more)
    return Manifest(
        "1.0", "1.0", 7, "x86_64", "2026-01-01", Requirements("5.13", 64), Tree(D, 1, 2), parts
    )


def changed(**fields: Any) -> bytes:
    document = json.loads(manifest.encode(example()))
    return json.dumps(document | fields).encode()


def test_what_is_encoded_is_parsed_again() -> None:
    assert manifest.parse(manifest.encode(example())) == example()
    assert manifest.encode(example()) == manifest.encode(example())


def test_parts_for_a_host() -> None:
    more = [part("c.whl", "plugin", "cuda13"), part("m/a.gguf", "model"), part("n/b", "model")]
    names = [p.name for p in example(*more).chosen("cuda13", ["m"])]
    assert names == ["runtime.tar.gz", "i", "t", "c.whl", "m/a.gguf"]
    assert [p.name for p in example(*more).chosen("", [])] == ["runtime.tar.gz", "i", "t"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        changed(format=2),
        changed(extra=1),
        changed(release="../1.0"),
        changed(release=1),
        changed(counter=0),
        changed(counter="7"),
        changed(counter=True),
        changed(counter=-1),
        changed(counter=1 << 60),
        changed(tree={"sha256": "x", "entries": 1, "bytes": 1}),
        changed(tree={"sha256": D, "entries": 1}),
        changed(parts=[]),
        changed(parts=7),
        changed(parts=[[]]),
        changed()[:-1] + b',"counter":9}',
    ],
)
def test_a_damaged_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(InstallError) as refused:
        manifest.parse(data)
    assert refused.value.code == "manifest_invalid"


@pytest.mark.parametrize(
    "bad",
    [
        Part("a", "unknown", 3, D, (Chunk("b", 3, D),)),
        Part("a", "wheel", 4, D, (Chunk("b", 3, D),)),
        Part("a", "wheel", 3, "x", (Chunk("b", 3, D),)),
        Part("a", "wheel", 3, D, (Chunk("b", 3, "x"),)),
        Part("a", "wheel", 3, D, (Chunk("/etc/passwd", 3, D),)),
        Part("a", "wheel", 3, D, (Chunk("blobs/../../x", 3, D),)),
        Part("../a", "model", 3, D, (Chunk("b", 3, D),)),
        Part("-rf", "model", 3, D, (Chunk("b", 3, D),)),
        part("runtime.tar.gz", "runtime"),
        part("two", "runtime"),
        part("big", "model", size=manifest.CHUNK + 1),
    ],
)
def test_a_bad_part_is_refused(bad: Part) -> None:
    with pytest.raises(InstallError) as refused:
        manifest.parse(manifest.encode(example(bad)))
    assert refused.value.code == "manifest_invalid"


def test_names_that_fat_takes_for_one_are_refused() -> None:
    with pytest.raises(InstallError) as refused:
        manifest.parse(manifest.encode(example(part("a", "wheel"), part("A", "wheel"))))
    assert refused.value.code == "names_collide"
    with pytest.raises(InstallError):
        manifest.parse_sums(f"{D}  README\n{D}  readme\n".encode())


@pytest.mark.parametrize(
    "line", ["x", f"{D} a", f"{D}  ", f"{D}  ../a", f"{D}  /a", f"{D[:-1]}g  a"]
)
def test_a_line_that_sha256sum_would_not_write_is_refused(line: str) -> None:
    with pytest.raises(InstallError) as refused:
        manifest.parse_sums(line.encode())
    assert refused.value.code == "manifest_invalid"


def test_sums() -> None:
    assert manifest.parse_sums(f"{D}  a\n{D}  b/c\n".encode()) == {"a": D, "b/c": D}
    with pytest.raises(InstallError):
        manifest.parse_sums(f"{D}  a\n{D}  a\n".encode())


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    for read in (manifest.parse, manifest.parse_sums):
        try:
            read(data)
        except InstallError as error:
            assert error.code in ("manifest_invalid", "names_collide")
