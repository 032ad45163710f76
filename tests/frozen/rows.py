"""A plugin of pytest that keeps rows of every table which the tests of a commit leave behind.

It imports nothing of the product by name but `appliance.db`, so that it runs with older code.
"""

import base64
import importlib
import json
import os
from pathlib import Path
from typing import Any

EACH = 20
_NAMED = ("appliance.db", "log.db", "keys.db")
_LARGEST = 3_000
_LARGEST_JOB = 12_000
_opened: set[Path] = set()
_kept: dict[str, dict[str, list[str]]] = {}
_database: Any = importlib.import_module("appliance.db")
_open: Any = _database.open_database


def _noted(path: Path, *arguments: Any, **named: Any) -> Any:
    _opened.add(Path(path))
    return _open(path, *arguments, **named)


_database.open_database = _noted


def pytest_runtest_teardown() -> None:
    """Read what the test has written, before its directory goes."""
    for path in list(_opened):
        if path.is_file():
            _read(path)
    _opened.clear()


def _read(path: Path) -> None:
    driver = importlib.import_module("pysqlite3.dbapi2")
    connection = driver.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.row_factory = driver.Row
        listed = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        for table, sql in listed.fetchall():
            if "sqlite" in table or "STRICT" not in (sql or ""):
                continue  # of SQLite, or of an index for search
            try:
                rows = connection.execute(f"SELECT * FROM {table} LIMIT 500").fetchall()
            except driver.OperationalError:
                continue
            for row in rows:
                _keep(path, table, dict(row))
    finally:
        connection.close()


def _keep(path: Path, table: str, row: dict[str, Any]) -> None:
    told = {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in row.items()
    }
    database = path.name if path.name in _NAMED else "collection"
    commit = os.environ["FROZEN_COMMIT"]
    line = json.dumps(
        {"file": "rows", "commit": commit, "database": database, "table": table, "row": told}
    )
    if len(line) > (_LARGEST_JOB if table == "jobs" else _LARGEST):
        return
    shape = repr([_shape(k, v) for k, v in row.items()])
    alike = _kept.setdefault(table, {}).setdefault(shape, [])
    if len(alike) < (2 if table == "jobs" else EACH) and line not in alike:
        alike.append(line)


def _shape(column: str, value: Any) -> Any:
    """What makes rows of one column alike: the names inside of JSON, and words of a few."""
    if isinstance(value, str) and value[:1] == "{":
        found = json.loads(value)
        return sorted(found) if isinstance(found, dict) else type(found)
    return value if column in ("kind", "state") else type(value)


def pytest_sessionfinish() -> None:
    """Write at most `EACH` rows of each table, of as many shapes as there are."""
    with Path(os.environ["FROZEN_ROWS"]).open("w") as target:
        for shapes in _kept.values():
            limit = 60 if "jobs" in next(iter(shapes.values()))[0][:200] else EACH
            turns = [lines[n] for n in range(EACH) for lines in shapes.values() if n < len(lines)]
            target.writelines(f"{line}\n" for line in turns[:limit])
