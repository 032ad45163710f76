"""Exports: verified, complete, and harmless to their readers."""

import csv
import json
from pathlib import Path

import pytest

from appliance.audit.export import export, tile_path
from appliance.audit.log import Draft
from appliance.errors import AuditRefused, UsageError
from appliance.text import spreadsheet_cell
from appliance.types import Json
from tests.audit.logs import PROMPT, Intruder, flip, new_log, open_log


def hostile(directory: Path) -> Path:
    new_log(directory)
    with open_log(directory) as log:
        fields: dict[str, Json] = {
            "actor": "=cmd|' /C calc'!A0",
            "action": 'a"]\r\n<133>1 forged\x1b[2J',
        }
        log.append(Draft("admin", fields)).result()
    return directory


def test_a_cell_is_no_formula(tmp_path: Path) -> None:
    for text in ("=1+1", "+1", "-1", "@x"):
        assert spreadsheet_cell(text) == "'" + text
    assert spreadsheet_cell("a\tb\x1b") == "a b "
    out = tmp_path / "out.csv"
    export(hostile(tmp_path / "log"), "csv", out)
    heads, *rows = csv.reader(out.read_text().splitlines())
    assert heads[:3] == ["seq", "time", "kind"]
    assert [len(row) for row in (heads, *rows)] == [12, 12, 12]
    assert rows[1][7].startswith("'=cmd")


def test_a_syslog_line_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    export(hostile(tmp_path / "log"), "rfc5424", out)
    lines = out.read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("<133>1 20")
    assert r"\"\]" in lines[1]
    assert "\x1b" not in lines[1]


def test_ocsf_is_json_lines_with_the_hashes(pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert export(pristine, "ocsf", out) == 40
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [e["metadata"]["sequence"] for e in events] == list(range(40))
    assert {e["type_uid"] for e in events} == {600301, 600302, 600399}
    assert PROMPT not in out.read_bytes()


def test_nothing_is_overwritten_and_nothing_unknown_written(pristine: Path, tmp_path: Path) -> None:
    for form, out in (("csv", tmp_path), ("pdf", tmp_path / "x"), ("tiles", tmp_path)):
        with pytest.raises(UsageError):
            export(pristine, form, out)


@pytest.mark.parametrize("form", ["csv", "tiles"])
def test_an_entry_that_does_not_verify_does_not_leave(
    victim: Path, intruder: Intruder, tmp_path: Path, form: str
) -> None:
    intruder.sql("UPDATE leaf SET hash = ? WHERE seq = 7", values=(flip(bytes(32)),))
    with pytest.raises(AuditRefused):
        export(victim, form, tmp_path / "out")


def test_tiles_lie_where_c2sp_puts_them() -> None:
    assert tile_path(1234067, 256) == "x001/x234/067"
    assert tile_path(0, 5) == "000.p/5"
