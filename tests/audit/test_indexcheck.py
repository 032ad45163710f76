"""What an index hides is found (tamper case 23), and nothing is found where nothing is hidden."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.indexcheck import IndexCheck
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.segments import Segments
from appliance.audit.store import DAMAGE
from appliance.audit.verify import verify_log
from appliance.audit.writer import PAGE
from appliance.errors import NotFound
from tests.audit.halves import divided
from tests.audit.logs import INDEXES, Intruder, admin, ask, found, intent, new_log, open_log


@pytest.mark.parametrize("column", INDEXES)
def test_23_an_entry_hidden_in_any_index(intruder: Intruder, victim: Path, column: str) -> None:
    with open_log(victim) as log:
        log.append(intent("r99", app="erp")).result()
    seq = {"intent": 7, "code": 7, "app": 40}.get(column, 6)
    (value,) = intruder.one(f"SELECT {column} FROM leaf WHERE seq = {seq}")
    intruder.refile(f"leaf_{INDEXES[column]}", but=f"{column} = '{value}'")
    all_rows = f"SELECT min(seq) FROM leaf NOT INDEXED WHERE {column} = '{value}'"
    assert found(victim)[0] == (*intruder.one(all_rows), "index_mismatch")
    if column == "request_id":  # what it is for: the filtered view shows nothing
        assert LogReader(victim).search(Query(request_id=str(value))).entries == []


def test_23_an_index_that_is_gone(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DROP INDEX leaf_request")
    assert (0, "index_mismatch") in found(victim)


def test_23_a_span_that_hides_a_block(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for _ in range(3):
            log.append(*(admin(str(n)) for n in range(500))).result()
    assert found(directory) == []
    Intruder(directory).sql("UPDATE span SET high_us = high_us - 1")
    assert found(directory) == [(0, "index_mismatch")]
    Intruder(directory).sql("DELETE FROM span")
    assert found(directory) == [(0, "index_mismatch")]


def missed(path: Path) -> int:
    """Let the root of the table of entries lead a look-up past one that a scan still meets."""
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'leaf'"
    (root,) = Intruder(path.parent).one(sql)
    data = bytearray(path.read_bytes())
    at = (root - 1) * PAGE
    assert data[at] == 5  # an inner page of a table: a child, and its highest number as a varint
    cell = at + int.from_bytes(data[at + 12 : at + 14])
    number = int(data[cell + 4])
    assert 1 < number < 128
    data[cell + 4] -= 1
    path.write_bytes(data)
    return number


def test_23_a_page_that_leads_past_an_entry(victim: Path) -> None:
    """Searches propose it, a scan meets it, and who asks for it is told that there is none."""
    seq = missed(victim / "log.db")
    with pytest.raises(NotFound):
        LogReader(victim).entry(seq)
    assert (seq, "index_mismatch") in found(victim)


def test_23_a_span_for_a_block_that_is_not_complete(victim: Path) -> None:
    late = Query(since_us=0)
    assert len(LogReader(victim).search(late).entries) == 40
    Intruder(victim).sql("INSERT INTO span VALUES (7, 0, 0)")
    assert LogReader(victim).search(late).entries == []  # what it is for
    assert found(victim) == [(0, "index_mismatch")]


def test_23_a_span_of_a_block_that_two_processes_divide(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for _ in range(3):
            log.append(*(admin(str(n)) for n in range(500))).result()
    Intruder(directory).sql("UPDATE span SET high_us = high_us - 1")
    with divided():
        assert [p.code for p in verify_log(directory).problems] == ["index_mismatch"]


def test_a_row_with_a_number_beyond_all_costs_no_time(intruder: Intruder, victim: Path) -> None:
    rows = intruder.rows()
    intruder.write([*rows, replace(rows[-1], seq=1 << 60)])
    assert (40, "entry_missing") in found(victim)


def test_after_an_error_it_looks_no_more_and_keeps_the_reason(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database, or at least not one of these" * 200)
    files = Segments(LogFiles(tmp_path))
    with files.open() as log:
        check = IndexCheck(log)
        check.look(0, 40, None)
        first = check.error
        check.look(40, 80, None)
    files.close()
    assert isinstance(first, DAMAGE) and check.error is first and check.count == 0


def test_a_log_in_use_is_checked_too(victim: Path) -> None:
    with open_log(victim) as log:
        for number in range(20):
            ask(log, f"r{number}")
            assert found(victim) == []
