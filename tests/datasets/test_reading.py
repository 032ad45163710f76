"""Files of other programs: reading, and each refusal with its line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.datasets import reading
from appliance.datasets.items import MAX_LINE
from appliance.datasets.reading import Columns, read_csv, read_items, read_json_lines
from appliance.errors import DatasetRefused

COLUMNS = Columns(
    group=("asset", "day"), input=("text",), expected=("system",), id="no", time="day"
)
HEAD = "no,asset,day,text,system\n"


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "orders.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, columns: Columns = COLUMNS) -> DatasetRefused:
    with pytest.raises(DatasetRefused) as found:
        read_csv(path, columns)
    return found.value


def test_a_table(tmp_path: Path) -> None:
    text = HEAD + '1,A,2026-01-02,"hose, LH\nleaks",hydraulics\n\n2,A,2026-01-02,hot,\n'
    first, second = read_csv(table(tmp_path, b"\xef\xbb\xbf" + text.encode()), COLUMNS)
    assert (first.id, first.group, first.text) == ("1", "A 2026-01-02", "hose, LH\nleaks")
    assert (first.expected, first.time) == ("hydraulics", "2026-01-02")
    assert not second.labelled


def test_several_columns_are_the_fields_of_an_answer(tmp_path: Path) -> None:
    path = table(tmp_path, "g,text,part,side\nx,hose,hose,\n")
    columns = Columns(group=("g",), input=("text",), expected=("part", "side"))
    (item,) = read_csv(path, columns)
    assert item.expected == {"part": "hose", "side": None}
    assert item.id == "0000001"


def test_flat_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"g":"a","text":"t","n":1}\n\n{"g":"b","text":"u","n":2}\n')
    items = read_json_lines(path, Columns(group=("g",), input=("text", "n")))
    assert [dict(item.input) for item in items] == [{"text": "t", "n": 1}, {"text": "u", "n": 2}]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no,asset,day,text,system\n1,A,2026-01-02,é,x\n".encode("latin-1"), "dataset_encoding"),
        (HEAD.encode("utf-16"), "dataset_encoding"),
        (HEAD.encode() + b"1,A,2026-01-02,a\0b,x\n", "dataset_encoding"),
        (HEAD + "1,A,2026-01-02,=1+2,x\n", "csv_formula"),
        (HEAD + "1,A,2026-01-02,@SUM(A1),x\n", "csv_formula"),
        (HEAD + "1,A,2026-01-02,+cmd|' /C calc'!A0,x\n", "csv_formula"),
        (HEAD + '1,A,2026-01-02,"\t=1",x\n', "csv_formula"),
        (HEAD + "1,A,2026-01-02,hose\n", "csv_columns"),
        (HEAD + "1,A,2026-01-02,hose,x,more\n", "csv_columns"),
        ("no,no,day,text,system\n1,2,3,4,5\n", "csv_columns"),
        ("no,,day,text,system\n", "csv_columns"),
        (HEAD + '1,A,2026-01-02,"hose,x\n', "dataset_malformed"),
        (HEAD + '1,A,2026-01-02,"hose"x,x\n', "dataset_malformed"),
        (HEAD + "1,,2026-01-02,hose,x\n", "group_missing"),
        (HEAD + "1,A,2026-01-02,hose,x\n1,B,2026-01-02,pump,x\n", "item_duplicate"),
        (HEAD + "1,A,yesterday,hose,x\n", "item_invalid"),
        (HEAD + "1,A,2026-01-02,,x\n", "item_invalid"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str | bytes, code: str) -> None:
    assert refused(table(tmp_path, text)).code == code


def test_the_message_names_the_line(tmp_path: Path) -> None:
    found = refused(table(tmp_path, HEAD + "1,A,2026-01-02,hose,x\n2,A,2026-01-02,=1,x\n"))
    assert "orders.csv, line 3, text" in found.message


def test_a_million_columns(tmp_path: Path) -> None:
    assert refused(table(tmp_path, "a," * 1_000_000 + "b\n")).code == "csv_columns"


def test_a_cell_without_end(tmp_path: Path) -> None:
    found = refused(table(tmp_path, HEAD + '1,A,2026-01-02,"' + "hose\n" * 100_000))
    assert found.code == "dataset_malformed"


def test_a_line_without_end(tmp_path: Path) -> None:
    assert refused(table(tmp_path, b"x" * (MAX_LINE + 10))).code == "item_too_large"


def test_what_looks_like_a_formula_may_be_meant(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD + "1,A,2026-01-02,=1+2,x\n2,A,2026-01-02,-5,x\n")
    first, second = read_csv(path, COLUMNS, formulas_are_text=True)
    assert first.text == "=1+2"
    assert second.text == "-5"


@pytest.mark.parametrize(
    "cell", ["-5", "- tooth lost", "+SHOVEL", "-12.5 mm", "+49 211 1234", "=== NOTICE ==="]
)
def test_what_is_no_formula(tmp_path: Path, cell: str) -> None:
    (item,) = read_csv(table(tmp_path, HEAD + f"1,A,2026-01-02,{cell},x\n"), COLUMNS)
    assert item.text == cell


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = refused(
        table(tmp_path, HEAD + "1,A,2026-01-02,hose,x\n"), Columns(("plant",), ("text",))
    )
    assert found.code == "item_invalid"
    assert "plant" in found.message


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{n},A,2026-01-02,hose,x\n" for n in range(5))
    monkeypatch.setattr(reading, "MAX_ITEMS", 4)
    assert refused(table(tmp_path, HEAD + rows)).code == "dataset_too_large"
    monkeypatch.setattr(reading, "MAX_BYTES", 60)
    assert refused(table(tmp_path, HEAD + rows)).code == "dataset_too_large"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv").code == "dataset_unreadable"
    assert refused(tmp_path).code == "dataset_unreadable"
    (tmp_path / "x").write_text("[1]\n")
    with pytest.raises(DatasetRefused, match="not an object"):
        read_json_lines(tmp_path / "x", COLUMNS)


def test_our_own_form(tmp_path: Path, excavators_path: Path) -> None:
    items = read_items(excavators_path)
    assert len(items) == 5205
    (tmp_path / "again.jsonl").write_bytes(b"".join(item.line() for item in items))
    again = read_items(tmp_path / "again.jsonl")
    assert [i.digest for i in again] == [i.digest for i in items]


@given(st.binary(max_size=300))
def test_any_bytes_are_items_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(HEAD.encode() + data)
    try:
        read_csv(path, COLUMNS)
    except DatasetRefused as found:
        assert json.dumps(found.message)
