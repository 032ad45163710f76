"""What an index hides is found (tamper case 23), and nothing is found where nothing is hidden."""

from pathlib import Path

import pytest

from appliance.audit.files import LogFiles
from appliance.audit.indexcheck import IndexCheck
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.store import DAMAGE
from tests.audit.logs import INDEXES, Intruder, admin, ask, found, new_log, open_log


def hide(intruder: Intruder, index: str, condition: str) -> None:
    """Rebuild an index without the entries of a condition; its definition stays as it was."""
    write = "PRAGMA writable_schema = ON"
    (before,) = [sql for name, sql in intruder.schema() if name == index]
    less = before + (" AND " if " WHERE " in before else " WHERE ") + f"NOT ({condition})"
    change = "UPDATE sqlite_schema SET sql = ? WHERE name = ?"
    intruder.sql(write)
    intruder.sql(change, values=(less, index), before=write)
    intruder.sql(f"REINDEX {index}")
    intruder.sql(change, values=(before, index), before=write)


@pytest.mark.parametrize("column", ["kind", "request_id", "key_id", "model", "intent", "dek"])
def test_23_an_entry_hidden_in_any_index(intruder: Intruder, victim: Path, column: str) -> None:
    seq = 7 if column == "intent" else 6
    (value,) = intruder.one(f"SELECT {column} FROM leaf WHERE seq = {seq}")
    hide(intruder, f"leaf_{INDEXES[column]}", f"{column} = '{value}'")
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


def test_it_stops_when_asked_and_tells_its_errors(victim: Path, tmp_path: Path) -> None:
    check = IndexCheck(LogFiles(victim), 0, 40)
    check.stop()
    check.start()
    assert check.result() == []
    other = tmp_path / "other"
    other.mkdir()
    (other / "log.db").write_bytes(b"not a database, or at least not one of these" * 200)
    broken = IndexCheck(LogFiles(other), 0, 40)
    broken.start()
    with pytest.raises(DAMAGE):
        broken.result()


def test_a_log_in_use_is_checked_too(victim: Path) -> None:
    with open_log(victim) as log:
        for number in range(20):
            ask(log, f"r{number}")
            assert found(victim) == []
