"""Statements in a table: found by their subject, verified each time, kept once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.db import open_database
from appliance.trust.statements.kept import StatementStore
from appliance.trust.statements.pointer import TaskPointer
from appliance.trust.statements.statement import Signed
from tests.trust import policies
from tests.trust.statements.test_pointer import POINTER, signed

TABLE = sa.table("t", *map(sa.column, ("id", "name", "envelope", "added_us")))
SCRIPT = """
CREATE TABLE t (id TEXT PRIMARY KEY, name TEXT NOT NULL, envelope BLOB NOT NULL,
  added_us INTEGER NOT NULL) STRICT;
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StatementStore[Signed[TaskPointer]]]:
    database = open_database(tmp_path / "a.db", [SCRIPT])
    yield StatementStore(database, TABLE, "name", ("added_us", "id"), TaskPointer.verify)
    database.dispose()


def add(store: StatementStore[Signed[TaskPointer]], statement_id: str, name: str, us: int) -> bytes:
    envelope = signed()
    store._keep(TABLE, {"id": statement_id, "name": name, "envelope": envelope, "added_us": us})
    return envelope


def test_they_are_found_by_what_they_are_about(store: StatementStore[Signed[TaskPointer]]) -> None:
    second, first, other = add(store, "b", "x", 2), add(store, "a", "x", 1), add(store, "c", "y", 0)
    assert store.envelopes("x") == [first, second]
    assert store.envelopes() == [other, first, second]
    assert store.envelope("c") == other and store.envelope("d") is None


def test_the_first_of_an_id_stays(store: StatementStore[Signed[TaskPointer]]) -> None:
    first = add(store, "a", "x", 1)
    add(store, "a", "x", 2)
    assert store.envelopes() == [first]


def test_what_does_not_hold_does_not_count(store: StatementStore[Signed[TaskPointer]]) -> None:
    add(store, "a", "x", 1)
    assert [found.said for found in store.holding(policies.parsed(), "x")] == [POINTER]
    revoked = policies.put("revoked", "keys", [policies.hint(policies.ALICE)])
    assert store.holding(policies.parsed(revoked)) == [] and len(store.envelopes()) == 1
