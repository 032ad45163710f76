"""Place of each receiver in the log, in `appliance.db`.

Rules: a cursor is written after the receiver has the entries, never before; it keeps the leaf hash
of the last one, so that another log is noticed.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

TABLES: Final = """\
CREATE TABLE forwarded (
  receiver TEXT PRIMARY KEY,
  next INTEGER NOT NULL,
  leaf BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_ROWS: Final = sa.table("forwarded", sa.column("receiver"), sa.column("next"), sa.column("leaf"))


@dataclass(frozen=True)
class ForwardCursor:
    """Place of a receiver.

    Attributes:
        next: the first entry that it may not have.
        leaf: hash of the entry before; b"" where there is none.
    """

    next: int = 0
    leaf: bytes = b""


class ForwardCursors:
    """Reads and writes cursors; the migrations of `database` include `TABLES`."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def read(self, receiver: str) -> ForwardCursor:
        """The cursor of a receiver; the beginning for a new one."""
        wanted = sa.select(_ROWS.c.next, _ROWS.c.leaf).where(_ROWS.c.receiver == receiver)
        with self._database.connect() as connection:
            row = connection.execute(wanted).first()
        return ForwardCursor() if row is None else ForwardCursor(row.next, row.leaf)

    def write(self, receiver: str, cursor: ForwardCursor) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.delete(_ROWS).where(_ROWS.c.receiver == receiver))
            values = {"receiver": receiver, "next": cursor.next, "leaf": cursor.leaf}
            connection.execute(sa.insert(_ROWS).values(values))
