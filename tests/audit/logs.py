"""Small logs to test with, and the tools of an attacker with root."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pysqlite3.dbapi2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, sign
from appliance.audit.epoch import EpochLimits
from appliance.audit.eraser import texts_of
from appliance.audit.erasures import KIND
from appliance.audit.files import LogFiles, read_private
from appliance.audit.log import AuditLog, Draft
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.audit.reader import LogReader
from appliance.audit.verification.entries import ChainCheck
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.types import Json, Receipt

ORIGIN = "appliance.example/audit/test"
INDEXES = {
    "kind": "kind", "request_id": "request", "key_id": "key", "model": "model", "app": "app",
    "code": "code", "intent": "intent", "dek": "dek",
}  # fmt: skip
_PATHS = {
    **{name: (f"$.{name}",) for name in (*INDEXES, "time_us")},
    "code": ("$.code", "$.finish", "$.status"),
    "dek": ("$.content.key",),
}
_COLUMNS = "".join(
    f", {name} AS (CASE WHEN json_valid(CAST(body AS TEXT)) THEN coalesce(NULL, "
    + ", ".join(f"json_extract(CAST(body AS TEXT), '{path}')" for path in paths)
    + ") END) VIRTUAL"
    for name, paths in _PATHS.items()
)
"""The query columns, of bodies that need not be JSON."""
_TRIGGERS = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'"
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
PROMPT = b"What is the capital of France?"
ANSWER = b"Paris."


def new_log(directory: Path, origin: str = ORIGIN) -> Path:
    AuditLog.create(directory, origin=origin, profile="lab", clock=FixedClock())
    return directory


LONG = EpochLimits(seconds=1 << 30, idle_seconds=1 << 30)
"""A log that tests share gets older than a key signs, and they do not ask for the next key."""


def open_log(
    directory: Path,
    *,
    content: str = "encrypted",
    reserve: int = 0,
    clock: FixedClock | None = None,
    ballast: int = 0,
    epochs: EpochLimits | None = None,
) -> AuditLog:
    return AuditLog.open(
        directory,
        clock=clock or FixedClock(),
        content=content,
        reserve_bytes=reserve,
        epochs=epochs or LONG,
        ballast_bytes=ballast,
    )


def intent(request: str, text: bytes = PROMPT, **more: Json) -> Draft:
    fields: dict[str, Json] = {"request_id": request, "key_id": "k1", "model": "m1", **more}
    return Draft("intent", fields, {"prompt": text})


def outcome(asked: int, request: str, text: bytes = ANSWER) -> Draft:
    fields: dict[str, Json] = {"intent": asked, "request_id": request, "status": "completed"}
    return Draft("outcome", fields, {"completion": text})


def admin(action: str) -> Draft:
    return Draft("admin", {"actor": "uid:0", "action": action})


def ask(log: AuditLog, request: str) -> tuple[Receipt, Receipt]:
    (asked,) = log.append(intent(request)).result()
    (answered,) = log.append(outcome(asked.seq, request)).result()
    return asked, answered


def sample(directory: Path) -> Path:
    """Forty entries: 0 genesis, 1 start, 2–13 one commit each, 14–29 one commit, 30–39 one."""
    new_log(directory)
    with open_log(directory) as log:
        log.append(Draft("start", {})).result()
        for i in range(6):
            ask(log, f"single-{i}")
        asked = log.append(*(intent(f"batch-{i}") for i in range(8)), *map(admin, "abcdefgh"))
        first = asked.result()[0].seq
        log.append(
            *(outcome(first + i, f"batch-{i}") for i in range(8)), admin("y"), admin("z")
        ).result()
        assert log.size == 40
    return directory


@dataclass(frozen=True)
class Row:
    seq: int
    prev: bytes
    hash: bytes
    body: bytes

    @property
    def kind(self) -> str | None:
        kind = re.search(rb'"kind":"([a-z_]+)"', self.body)
        return kind and kind[1].decode()

    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def raw_body(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def consistent(row: Row, **changes: Any) -> Row:
    """The row with other fields and, unless given, the hash that fits them."""
    body = raw_body({**row.fields(), **changes})
    return replace(row, body=body, hash=leaf_hash(body))


class Intruder:
    """Root, with the database in hand and the log not running."""

    def __init__(self, directory: Path, database: Path | None = None) -> None:
        """`database`: another segment than the first."""
        self.files = LogFiles(directory)
        self.database = database or self.files.segment(0)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A connection without the triggers, which come back afterwards."""
        database = pysqlite3.dbapi2.connect(str(self.database), isolation_level=None)
        try:
            triggers = database.execute(_TRIGGERS).fetchall()
            for name, _, _ in triggers:
                database.execute(f"DROP TRIGGER {name}")
            yield database
            database.execute("PRAGMA writable_schema = OFF")
            left = {name for (name,) in database.execute(_TABLES)}
            for _, table, sql in triggers:
                if table in left:
                    database.execute(sql)
        finally:
            database.close()

    def sql(self, *statements: str, values: Sequence[Any] = (), before: str = "") -> None:
        with self.opened() as database:
            database.execute(before)
            for statement in statements:
                database.execute(statement, values)

    def all(self, query: str) -> list[Any]:
        database = pysqlite3.dbapi2.connect(str(self.database))
        try:
            return list(database.execute(query))
        finally:
            database.close()

    def one(self, query: str) -> Any:
        (row,) = self.all(query)
        return row

    def schema(self) -> list[tuple[str, str]]:
        return self.all("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql <> ''")

    def refile(self, index: str, *, but: str = "0", under: str = "") -> None:
        """Without the entries of a condition, or over another column, its definition unchanged."""
        write = "PRAGMA writable_schema = ON"
        (before,) = [sql for name, sql in self.schema() if name == index]
        made = re.sub(r"\(\w+\)", f"({under})", before, count=1) if under else before
        made += (" AND " if " WHERE " in before else " WHERE ") + f"NOT ({but})"
        change = "UPDATE sqlite_schema SET sql = ? WHERE name = ?"
        self.sql(change, values=(made, index), before=write)
        try:
            self.sql(f"REINDEX {index}")
        finally:
            self.sql(change, values=(before, index), before=write)

    def rows(self) -> list[Row]:
        database = pysqlite3.dbapi2.connect(str(self.database))
        try:
            found = database.execute("SELECT seq, prev, hash, body FROM leaf ORDER BY seq")
            return [Row(*row) for row in found]
        finally:
            database.close()

    def write(self, rows: Sequence[Row], *, disguised: bool = True) -> None:
        """Replace the table by one without constraints; `disguised`: its schema reads as before."""
        database = pysqlite3.dbapi2.connect(str(self.database), isolation_level=None)
        try:
            before = database.execute(
                "SELECT sql, name FROM sqlite_schema WHERE tbl_name = 'leaf' AND type <> 'trigger'"
            ).fetchall()
            triggers = database.execute(f"{_TRIGGERS} AND tbl_name = 'leaf'").fetchall()
            database.execute("BEGIN")
            database.execute("DROP TABLE leaf")
            database.execute(
                f"CREATE TABLE leaf (seq INTEGER PRIMARY KEY, prev, hash, body{_COLUMNS})"
            )
            database.execute("CREATE INDEX leaf_prev ON leaf (prev)")
            for column, index in INDEXES.items():
                database.execute(f"CREATE INDEX leaf_{index} ON leaf ({column})")
            values = [(r.seq, r.prev, r.hash, r.body) for r in rows]
            database.executemany("INSERT INTO leaf VALUES (?, ?, ?, ?)", values)
            if disguised:
                for _, _, sql in triggers:
                    database.execute(sql)
                database.execute("PRAGMA writable_schema = ON")
                unique = "UPDATE sqlite_schema SET name = ? WHERE name = 'leaf_prev'"
                database.execute(unique, ("sqlite_autoindex_leaf_1",))
                database.executemany("UPDATE sqlite_schema SET sql = ? WHERE name = ?", before)
            database.execute("COMMIT")
        finally:
            database.close()

    def change(self, seq: int, how: Callable[[Row], Row]) -> None:
        self.write([how(row) if row.seq == seq else row for row in self.rows()])

    def rechain(self, bodies: Sequence[bytes]) -> list[Row]:
        rows, prev = [], bytes(32)
        for seq, body in enumerate(bodies):
            filled = raw_body({**json.loads(body), "seq": seq, "prev": prev.hex()})
            rows.append(Row(seq, prev, leaf_hash(filled), filled))
            prev = rows[-1].hash
        return rows

    def resign(self, key: Ed25519PrivateKey | None = None, origin: str = ORIGIN) -> None:
        """Sign every head over the present rows; by default with the log's key."""
        signer = key or read_private(self.files.signing)
        rows, frontier, note = self.rows(), Frontier(), b""
        with self.opened() as database:
            known = database.execute("SELECT size FROM checkpoint").fetchall()
            sizes = {size for (size,) in known} | {len(rows)}
            database.execute("BEGIN")
            for row in rows:
                frontier.append(row.hash)
                if frontier.size in sizes:
                    note = sign(Checkpoint(origin, frontier.size, frontier.root()), signer)
                    database.execute(
                        "INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", (frontier.size, note)
                    )
            database.execute("DELETE FROM checkpoint WHERE size > ?", (len(rows),))
            database.execute("COMMIT")
        self.files.head.write_bytes(note)


def copy(directory: Path, to: Path) -> Path:
    shutil.copytree(directory, to)
    return to


def keys_sql(directory: Path, statement: str, values: Sequence[Any] = ()) -> int:
    """Change `keys.db` behind the product's back; the number of changed rows."""
    database = pysqlite3.dbapi2.connect(str(LogFiles(directory).keys))
    with database:
        met: int = database.execute(statement, values).rowcount
    database.close()
    return met


def key_of(directory: Path, seq: int) -> str:
    (row,) = [r for r in Intruder(directory).rows() if r.seq == seq]
    return str(row.fields()["content"]["key"])


def found(directory: Path, **options: Any) -> list[tuple[int, str]]:
    report = verify_log(directory, **options)
    assert report.ok == (not report.problems)
    with mock.patch.object(ChainCheck, "plain", lambda *_: None):  # one by one says the same
        assert verify_log(directory, **options).problems == report.problems
    return [(p.seq, p.code) for p in report.problems]


def root_line(directory: Path) -> bytes:
    return (directory / "HEAD").read_bytes().split(b"\n")[2]


def flip(value: bytes, place: int = 10) -> bytes:
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


def cut(intruder: Intruder, size: int) -> None:
    intruder.sql(
        f"DELETE FROM content WHERE seq >= {size}",
        f"DELETE FROM checkpoint WHERE size > {size}",
        f"DELETE FROM leaf WHERE seq >= {size}",
    )


def signed_change(intruder: Intruder, seq: int, how: Callable[[dict[str, Any]], Any]) -> None:
    """With the log's key, and everything after it to fit."""
    rows = intruder.rows()
    bodies = [row.body for row in rows]
    fields = rows[seq].fields()
    how(fields)
    bodies[seq] = raw_body(fields)
    intruder.write(intruder.rechain(bodies))
    intruder.resign()


def erasure(reader: LogReader, request_id: str, actor: str, reason: str) -> Draft:
    entries: list[Json] = [entry.seq for entry in texts_of(reader, request_id)]
    fields: dict[str, Json] = {
        "actor": actor, "entries": entries, "reason": reason, "request_id": request_id,
    }  # fmt: skip
    return Draft(KIND, fields)
