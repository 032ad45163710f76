"""Paths that may name a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.trust.bytes import names

BAD = {
    "empty": "",
    "parent": "../secret",
    "parent inside": "a/../b",
    "parent at the end": "a/..",
    "absolute": "/etc/passwd",
    "double slash": "a//b",
    "here": "./a",
    "trailing slash": "a/",
    "backslash": "a\\b",
    "drive": "C:model.gguf",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "right-to-left override": "a\u202egpj.gguf",
    "zero-width": "a\u200bb",
    "not NFC": "a\u0308.txt",
    "surrogate": "a\udcff",
    "long part": "a" * 256,
    "long part in UTF-8": "ä" * 128,
    "long path": "/".join(["a" * 200] * 6),
}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_refused(name: str) -> None:
    assert names.problem(name) is not None


@pytest.mark.parametrize(
    "name",
    ["model.gguf", "a/b/c", "..a", "a..", ".hidden", "é.txt", "名前", "a b", "ab:c", "x" * 255],
)
def test_allowed(name: str) -> None:
    assert names.problem(name) is None


@given(st.text(max_size=40))
def test_an_allowed_name_stays_inside(name: str) -> None:
    if names.problem(name) is None:
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a"),
        ("Model.gguf", "model.GGUF"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁ", "fi"),
    ],
)
def test_twins_are_found(first: str, second: str) -> None:
    assert names.twins(["x", first, "y", second]) == (first, second)


def test_different_names_are_no_twins() -> None:
    assert names.twins(["a", "b", "A/b", "a/c"]) is None
