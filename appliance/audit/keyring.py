"""Content keys in `keys.db`: durable before the entry that names them, destroyed to erase.

Rules: keys are made in advance, many per commit, so that an entry costs one disk sync and not two;
each goes to one record, in stored order. A database that does not take `secure_delete` is refused.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from appliance.audit.content import KEY_BYTES, kek_name, unwrap, wrap
from appliance.audit.host import uuid7
from appliance.clock import Clock
from appliance.db import check_pragma, open_database
from appliance.draws import drawn

MIGRATIONS: Final = (
    """
CREATE TABLE dek (
  id TEXT PRIMARY KEY,
  kek_id TEXT NOT NULL,
  wrapped BLOB NOT NULL
) STRICT;
""",
)
BATCH: Final = 1_024
LOW: Final = 512


def find_key(dbapi: Any, kek: bytes, key_id: str) -> bytes | None:
    """The unwrapped key of a record, or None when it was erased.

    `content_unavailable` when another KEK wrapped it.
    """
    row = dbapi.execute("SELECT CAST(wrapped AS BLOB) FROM dek WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else unwrap(kek, key_id, row[0] or b"")


class Keyring:
    """The writer's side of `keys.db`. For one thread at a time."""

    def __init__(self, path: Path, kek: bytes, clock: Clock) -> None:
        self._engine: Engine = open_database(path, MIGRATIONS)
        self._connection = self._engine.connect()
        self._kek, self._kek_id, self._clock = kek, kek_name(kek), clock
        self._ready: deque[tuple[str, bytes]] = deque()
        try:
            self._dbapi.execute("PRAGMA secure_delete = ON")
            check_pragma(self._dbapi, "secure_delete", 1)
        except BaseException:
            self.abandon()
            raise

    @property
    def _dbapi(self) -> Any:
        return self._connection.connection.driver_connection

    def ensure(self, wanted: int) -> None:
        """Have at least this many durable keys."""
        if len(self._ready) < wanted:
            self._make(max(BATCH, wanted - len(self._ready)))

    def refill(self) -> None:
        """Make more keys when few are left, but none before the first was needed."""
        if 0 < len(self._ready) < LOW:
            self._make(BATCH)

    def take(self) -> tuple[str, bytes]:
        """A durable, unused key: (id, DEK). Call `ensure` first."""
        return self._ready.popleft()

    def put_back(self, keys: Sequence[tuple[str, bytes]]) -> None:
        """Return taken keys that no entry names, in the order of taking."""
        self._ready.extendleft(reversed(keys))

    def sweep(self, used: Callable[[str], bool]) -> int:
        """Destroy the newest keys up to the first that an entry names; their number."""
        rows = self._dbapi.execute("SELECT id FROM dek ORDER BY rowid DESC")
        orphans = []
        for (key_id,) in rows:
            if used(key_id):
                break
            orphans.append((key_id,))
        rows.close()
        self._delete(orphans)
        return len(orphans)

    def forget(self, ids: Sequence[str]) -> None:
        """Delete keys of which traces may stay until `destroy`."""
        self._delete([(key_id,) for key_id in ids])

    def destroy(self, ids: Sequence[str]) -> None:
        """Erase these keys from the database, its free pages and the WAL.

        OSError when a reader keeps the WAL in use.
        """
        self._delete([(key_id,) for key_id in ids])
        (busy, _, _) = self._dbapi.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise OSError("a reader keeps the write-ahead log of keys.db in use")

    def destroy_unused(self) -> None:
        """Destroy keys made in advance, and leave nothing in the WAL."""
        self._delete([(key_id,) for key_id, _ in self._ready])
        self._ready.clear()
        self._dbapi.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def abandon(self) -> None:
        """Close the database without writing."""
        self._connection.close()
        self._engine.dispose()

    def _make(self, count: int) -> None:
        now = self._clock.wall_us()
        keys = [(uuid7(now), drawn(KEY_BYTES)) for _ in range(count)]
        rows = [(key_id, self._kek_id, wrap(self._kek, key_id, dek)) for key_id, dek in keys]
        sql = "INSERT INTO dek (id, kek_id, wrapped) VALUES (?, ?, ?)"
        with self._connection.begin():
            self._connection.exec_driver_sql(sql, rows)
        self._ready.extend(keys)

    def _delete(self, ids: list[tuple[str]]) -> None:
        if ids:
            with self._connection.begin():
                self._connection.exec_driver_sql("DELETE FROM dek WHERE id = ?", ids)
