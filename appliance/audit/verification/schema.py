"""Whether the tables of a segment are those of this format.

Rules:
- Columns that searches use, indexes, and the triggers that refuse changes are made by the schema. A
  schema that was changed hides entries without a change in any row, so it is compared as it is
  stored, text by text.
- What it should be is made by the migrations themselves, in memory, up to the version that the
  segment says it has.
"""

import functools
from typing import Any, Final

import pysqlite3.dbapi2

from appliance.audit.segments import Log
from appliance.audit.tables import MIGRATIONS

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


def changed(log: Log) -> list[tuple[int, str]]:
    """Segments with another schema: their first entries, and a name in it that differs."""
    found = []
    for segment in log.segments:
        (version,) = segment.dbapi.execute("PRAGMA user_version").fetchone()
        known = 0 < version <= len(MIGRATIONS)
        differ = set(segment.dbapi.execute(_SCHEMA)) ^ _expected(version if known else 0)
        if differ:
            name = min(str(row[1]) for row in differ) if known else "user_version"
            found.append((segment.first, name))
    return found


@functools.cache
def _expected(version: int) -> frozenset[tuple[Any, ...]]:
    database = pysqlite3.dbapi2.connect(":memory:")
    try:
        for script in MIGRATIONS[:version]:
            database.executescript(script)
        return frozenset(database.execute(_SCHEMA))
    finally:
        database.close()
