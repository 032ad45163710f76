"""JSON of a model directory: one meaning, bounded, members by type."""

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.conversion import documents


def test_a_number_that_fits_nowhere_is_a_float() -> None:
    found = documents.parse(b'{"longest": 1000000000000000019884624838656, "n": 7}', "x.json")
    assert found == documents.Members("x.json", {"longest": 1e30, "n": 7})


@pytest.mark.parametrize(
    "text",
    [b"", b"7", b"{", b"\xff{}", b'{"a": 1, "a": 1}', b'{"a": {"b": 1, "b": 2}}', b"[" * 9**5],
)
def test_what_is_no_object_is_refused_with_the_name_of_the_file(text: bytes) -> None:
    with pytest.raises(TuningRefused, match=r"x\.json") as refused:
        documents.parse(text, "x.json")
    assert refused.value.code == "convert_source"


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LARGEST", 4)
    with pytest.raises(TuningRefused, match="MiB"):
        documents.parse(b'{"a": 1}', "x.json")


def test_members_are_of_their_type() -> None:
    members = {"text": "a", "n": 3, "flag": True, "none": None, "share": 0.5, "in": {"n": 4}}
    table = documents.Members("x.json", members)
    assert table.member("text", str) == "a" and table.member("none", str, "b") == "b"
    assert table.whole("n", 3) == 3 and table.whole("m", 9, 4) == 4
    assert table.real("share") == 0.5 and table.real("n") == 3.0
    assert table.table("in").whole("n", 9) == 4 and table.table("none", {}).members == {}
    for key, kind in (("flag", int), ("n", bool), ("none", str), ("n", str), ("n", dict)):
        with pytest.raises(TuningRefused, match=r"x\.json"):
            table.member(key, kind)
    with pytest.raises(TuningRefused, match="not 1 to 2"):
        table.whole("n", 2)
    for value in (0, -1, True, "1", float("inf"), None):
        with pytest.raises(TuningRefused):
            documents.Members("x.json", {"n": value}).real("n")
