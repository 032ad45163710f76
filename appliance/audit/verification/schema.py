"""Verification of the tables of a segment and of the content keys.

Rules:
- Columns that searches use, indexes, and the triggers that refuse changes are made by the schema. A
  schema that was changed hides entries without a change in any row, so it is compared as it is
  stored, text by text.
- The migrations themselves make the expected schema, in memory, up to the version that the segment
  states.
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
    """A name in the schema of `keys.db` that differs; None where all is well."""
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
