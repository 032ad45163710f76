"""Reads rows of every table that a commit's code left behind; a plugin of pytest, or by itself.

Of the product it imports only `appliance.db` by name, so that it runs with older code.

usage: python rows.py DATA
"""

import base64
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

EACH = 20
_LARGEST = 24_000
_DATABASES = ("appliance.db", "log.db", "keys.db")
_opened: set[Path] = set()
_kept: dict[tuple[str, str], dict[str, list[str]]] = {}


def pytest_load_initial_conftests() -> None:
    database: Any = importlib.import_module("appliance.db")
    whole = database.open_database

    def noted(path: Path, *arguments: Any, **named: Any) -> Any:
        _opened.add(Path(path))
        return whole(path, *arguments, **named)

    database.open_database = noted


def pytest_runtest_teardown() -> None:
    """Read what the test has written, before its directory goes."""
    for path in filter(Path.is_file, _opened):
        read(path)
    _opened.clear()


def read(path: Path) -> None:
    driver = importlib.import_module("pysqlite3.dbapi2")
    connection = driver.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = driver.Row
    listed = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    for table, sql in listed.fetchall():
        if "STRICT" in (sql or ""):  # the others are of SQLite, or of an index for search
            for row in connection.execute(f"SELECT * FROM {table} LIMIT 500"):
                _keep(path.name if path.name in _DATABASES else "collection", table, dict(row))
    connection.close()


def _keep(database: str, table: str, row: dict[str, Any]) -> None:
    told = {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in row.items()
    }
    line = json.dumps({"database": database, "table": table, "row": told})
    shape = repr([_shape(name, value) for name, value in row.items()])
    alike = _kept.setdefault((database, table), {}).setdefault(shape, [])
    if len(line) <= _LARGEST and len(alike) < EACH and line not in alike:
        alike.append(line)


def _shape(column: str, value: Any) -> Any:
    """The shape of a column's values: the names inside of JSON, and words of a few."""
    if isinstance(value, str) and value[:1] == "{":
        found = json.loads(value)
        return sorted(found) if isinstance(found, dict) else type(found)
    return value if column in ("kind", "state") else type(value)


def pytest_sessionfinish() -> None:
    """Write at most `EACH` rows of each table, of as many shapes as there are."""
    with Path(os.environ["FROZEN_ROWS"]).open("a") as target:
        for shapes in _kept.values():
            turns = [lines[n] for n in range(EACH) for lines in shapes.values() if n < len(lines)]
            target.writelines(f"{line}\n" for line in turns[:EACH])


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).rglob("*.db")):
        read(file)
    pytest_sessionfinish()
