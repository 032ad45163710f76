"""Verification of the tables of a segment and of the content keys.

A changed schema hides entries without a change in any row, so it is compared, text by text, with
the one that the migrations make in memory.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2

from appliance.audit import keyring, tables
from appliance.audit.segments import Log
from appliance.db import open_readonly

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


def changed(log: Log) -> list[tuple[int, str]]:
    """Segments with another schema: their first entries, and a name in it that differs."""
    found = []
    for segment in log.segments:
        name = _differs(segment.dbapi, tables.MIGRATIONS)
        if name is not None:
            found.append((segment.first, name))
    return found


def changed_keys(path: Path) -> str | None:
    """A name in the schema of `keys.db` that differs, if any."""
    engine = open_readonly(path)
    try:
        with engine.connect() as connection:
            return _differs(connection.connection.driver_connection, keyring.MIGRATIONS)
    finally:
        engine.dispose()


def _differs(dbapi: Any, migrations: Sequence[str]) -> str | None:
    (version,) = dbapi.execute("PRAGMA user_version").fetchone()
    known = 0 < version <= len(migrations)
    there = set(dbapi.execute(_SCHEMA))
    differ = there ^ _expected(tuple(migrations[: version if known else 0]))
    return (min(str(row[1]) for row in differ) if known else "user_version") if differ else None


@functools.cache
def _expected(scripts: tuple[str, ...]) -> frozenset[tuple[Any, ...]]:
    database = pysqlite3.dbapi2.connect(":memory:")
    try:
        for script in scripts:
            database.executescript(script)
        return frozenset(database.execute(_SCHEMA))
    finally:
        database.close()
