"""Logs of others as they were seen, and our heads that others cosigned.

Rules: a head is on the disk before it is cosigned; a witness never forgets. Only this process
writes, so nothing is read twice.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.handover import Epoch
from appliance.db import reading
from appliance.peers.cosigning import SeenLog

_COLUMNS: Final = """(
  genesis TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL,
  start INTEGER NOT NULL,
  key BLOB NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
WITNESSED: Final = f"CREATE TABLE witnessed_logs {_COLUMNS}"
TABLES: Final = f"""\
CREATE TABLE seen_logs {_COLUMNS}\
CREATE TABLE cosigned_heads (
  witness TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  recorded_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""Verifier keys name logs and witnesses; `recorded` entries had the head that the log took up last,
and `recorded_us` is when."""
_NAMES: Final = ("genesis", "epoch", "start", "key", "size", "root", "seen_us")
_HEADS: Final = sa.table(
    "cosigned_heads", *map(sa.column, ("witness", "size", "recorded", "recorded_us"))
)


@dataclass(frozen=True)
class CosignedHead:
    """Our newest head that a witness cosigned.

    Attributes:
        size: its entries.
        recorded, recorded_us: entries of the head that the log took up last, and when.
    """

    size: int = 0
    recorded: int = 0
    recorded_us: int = 0


class SeenLogs:
    """Reads and writes both.

    Args:
        database: an engine whose migrations include `TABLES`.
        table: that of the logs.
    """

    def __init__(self, database: Engine, table: str = "seen_logs") -> None:
        self._database = database
        self._known: dict[str, tuple[SeenLog, int]] = {}
        seen = sa.table(table, *map(sa.column, _NAMES))
        self._of_log = sa.select(seen).where(seen.c.genesis == sa.bindparam("name"))
        self._keep = sa.insert(seen).prefix_with("OR REPLACE")

    def seen(self, genesis: VerifierKey) -> tuple[SeenLog, int]:
        """The log as it was seen, and when; of a new one only its first key, and 0."""
        name = genesis.encode()
        return self._known.get(name) or self._known.setdefault(name, self._read(genesis))

    def _read(self, genesis: VerifierKey) -> tuple[SeenLog, int]:
        with reading(self._database) as connection:
            row = connection.execute(self._of_log, {"name": genesis.encode()}).first()
        if row is None:
            return SeenLog.first(genesis), 0
        epoch = Epoch(row.epoch, row.start, VerifierKey(genesis.name, row.key))
        return SeenLog(epoch, row.size, row.root), row.seen_us

    def see(self, genesis: VerifierKey, log: SeenLog, now_us: int) -> None:
        """Keep what was seen; it is durable then."""
        with self._database.begin() as connection:
            self.see_in(connection, genesis, log, now_us)
        self.saw(genesis, log, now_us)

    def see_in(
        self, connection: Connection, genesis: VerifierKey, log: SeenLog, now_us: int
    ) -> None:
        """As `see`; `saw` follows the commit."""
        self._known.pop(genesis.encode(), None)
        values = {
            "genesis": genesis.encode(), "epoch": log.epoch.number, "start": log.epoch.start,
            "key": log.epoch.key.public, "size": log.size, "root": log.root, "seen_us": now_us,
        }  # fmt: skip
        connection.execute(self._keep, values)

    def saw(self, genesis: VerifierKey, log: SeenLog, now_us: int) -> None:
        self._known[genesis.encode()] = log, now_us

    def cosigned(self, witness: VerifierKey) -> CosignedHead:
        with reading(self._database) as connection:
            wanted = sa.select(_HEADS).where(_HEADS.c.witness == witness.encode())
            row = connection.execute(wanted).first()
        return CosignedHead() if row is None else CosignedHead(*row[1:])

    def take(self, witness: VerifierKey, head: CosignedHead) -> None:
        values = {"witness": witness.encode(), **vars(head)}
        with self._database.begin() as connection:
            connection.execute(sa.delete(_HEADS).where(_HEADS.c.witness == values["witness"]))
            connection.execute(sa.insert(_HEADS).values(values))
