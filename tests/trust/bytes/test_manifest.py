"""Manifests with shards, and files against them; whole files: test_oms.py."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import SignatureRefused
from appliance.trust.bytes import manifest, shards
from tests.trust.forge import as_json, sha256

ONE, TWO, THREE = sha256(b"1"), sha256(b"2"), sha256(b"3")
SIZE = 10
Pair = tuple[str, str]
GOOD: list[Pair] = [("a:0:10", ONE), ("a:10:15", TWO), ("b/c:0:10", THREE)]


def as_int(size: Any) -> int:
    return int(size) if isinstance(size, int | float) else SIZE


def document(pairs: list[Pair], size: Any = SIZE) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(manifest.statement(pairs, "m", as_int(size))))
    made["predicate"]["serialization"]["shard_size"] = size
    return made


def parse(pairs: list[Pair], size: Any = SIZE) -> manifest.Manifest:
    return manifest.parse(as_json(document(pairs, size)), "signer")


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(SignatureRefused) as caught:
        action()
    return caught.value.code


def test_shards_are_gathered_by_file() -> None:
    read = parse(GOOD)
    assert read.files == {"a": f"0:10:{ONE} 10:15:{TWO}", "b/c": f"0:10:{THREE}"}
    assert (read.shard_size, read.signer) == (SIZE, "signer")
    assert read.root == manifest.root_digest([ONE, TWO, THREE])


def test_names_with_colons_are_split_at_the_last_two() -> None:
    assert set(parse([("file:b:0:10", ONE)]).files) == {"file:b"}


ORDERS: dict[str, list[Pair]] = {
    "by number": [("a:0:10", ONE), *((f"a:{n}0:{n + 1}0", TWO) for n in range(1, 12))],
    "by code point": sorted([("a:0:10", ONE), *((f"a:{n}0:{n + 1}0", TWO) for n in range(1, 12))]),
    "by path parts": [("a/b:0:1", ONE), ("a.txt:0:1", TWO)],
}


@pytest.mark.parametrize("pairs", ORDERS.values(), ids=ORDERS)
def test_every_order_in_use_is_read(pairs: list[Pair]) -> None:
    assert len(parse(pairs).files) <= 2


BAD: dict[str, tuple[list[Pair], str]] = {
    "gap": ([("a:0:10", ONE), ("a:20:30", TWO)], "manifest_shards"),
    "not from 0": ([("a:10:20", ONE)], "manifest_shards"),
    "overlap": ([("a:0:10", ONE), ("a:5:15", TWO)], "manifest_shards"),
    "twice": ([("a:0:10", ONE), ("a:0:10", ONE)], "manifest_shards"),
    "empty": ([("a:0:0", ONE)], "manifest_shards"),
    "backwards": ([("a:0:10", ONE), ("a:10:5", TWO)], "manifest_shards"),
    "too long": ([("a:0:11", ONE)], "manifest_shards"),
    "short before the last": ([("a:0:9", ONE), ("a:9:19", TWO)], "manifest_shards"),
    "no numbers": ([("a", ONE)], "manifest_shards"),
    "one number": ([("a:10", ONE)], "manifest_shards"),
    "a sign": ([("a:+0:10", ONE)], "manifest_shards"),
    "a leading zero": ([("a:0:010", ONE)], "manifest_shards"),
    "a huge number": ([(f"a:0:{10**30}", ONE)], "manifest_shards"),
    "parent": ([("../a:0:10", ONE)], "manifest_name_refused"),
    "no name": ([(":0:10", ONE)], "manifest_shards"),
    "NUL": ([("a\0:0:10", ONE)], "manifest_name_refused"),
    "twins": ([("A:0:10", ONE), ("a:0:10", ONE)], "manifest_name_refused"),
    "the signature": ([("model.sig:0:10", ONE)], "manifest_name_refused"),
    "out of order": ([("b:0:10", ONE), ("a:0:10", TWO)], "manifest_malformed"),
    "none": ([], "manifest_malformed"),
}


@pytest.mark.parametrize(("pairs", "code"), BAD.values(), ids=BAD)
def test_bad_shards(pairs: list[Pair], code: str) -> None:
    assert code_of(lambda: parse(pairs)) == code


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (0, "manifest_shards"),
        (-1, "manifest_shards"),
        (1 << 62, "manifest_shards"),
        ("10", "manifest_malformed"),
        (None, "manifest_malformed"),
        (True, "manifest_malformed"),
        (10.5, "manifest_malformed"),
        (float(1 << 60), "manifest_malformed"),
    ],
)
def test_the_size_of_a_shard(size: object, code: str) -> None:
    assert code_of(lambda: parse(GOOD, size)) == code


def test_what_model_signing_writes_is_read() -> None:
    made = document(GOOD, 10.0)
    assert {r["algorithm"] for r in made["predicate"]["resources"]} == {"sha256-sharded-10"}
    assert manifest.parse(as_json(made), "s").shard_size == 10
    for resource in made["predicate"]["resources"]:
        resource["algorithm"] = "sha256"
    assert manifest.parse(as_json(made), "s").shard_size == 10
    made["predicate"]["resources"][0]["algorithm"] = "sha256-sharded-11"
    action = lambda: manifest.parse(as_json(made), "s")  # noqa: E731
    assert code_of(action) == "signature_method_unsupported"


def test_too_many_resources_or_files() -> None:
    many = [(f"a:{n}:{n + 1}", ONE) for n in range(manifest.MAX_FILES + 1)]
    assert len(parse(many, 1).files) == 1
    files = [(f"{n:05}:0:1", ONE) for n in range(manifest.MAX_FILES + 1)]
    assert code_of(lambda: parse(files, 1)) == "manifest_malformed"


@given(data=st.binary(min_size=1, max_size=200), size=st.integers(1, 60), cut=st.integers(1, 40))
def test_hashing_in_any_blocks_gives_the_shards(data: bytes, size: int, cut: int) -> None:
    digests = shards.ShardDigests(size)
    for start in range(0, len(data), cut):
        digests.update(memoryview(data[start : start + cut]))
    found = digests.finish()
    assert [(s.start, s.end) for s in found] == [
        (at, min(at + size, len(data))) for at in range(0, len(data), size)
    ]
    assert all(s.digest == sha256(data[s.start : s.end]) for s in found)
    pairs = [(f"a:{s.start}:{s.end}", s.digest) for s in found]
    assert parse(pairs, size).files == {"a": shards.statement(found)}
