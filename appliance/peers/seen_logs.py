"""Logs of others as they were seen, and our heads that others cosigned, in `appliance.db`.

Rule: a head is on the disk before it is cosigned; a witness never forgets.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.handover import Epoch
from appliance.peers.cosigning import SeenLog

TABLES = """\
CREATE TABLE seen_logs (
  genesis TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL,
  start INTEGER NOT NULL,
  key BLOB NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE cosigned_heads (
  witness TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  recorded_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""Verifier keys name logs and witnesses; `recorded` entries had the head that the log took up last,
and `recorded_us` is when."""
_SEEN = sa.table(
    "seen_logs", *map(sa.column, ("genesis", "epoch", "start", "key", "size", "root", "seen_us"))
)
_OF_LOG = sa.select(_SEEN).where(_SEEN.c.genesis == sa.bindparam("name"))
_KEEP = sa.insert(_SEEN).prefix_with("OR REPLACE")
_HEADS = sa.table("cosigned_heads", *map(sa.column, ("witness", "size", "recorded", "recorded_us")))


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
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def seen(self, genesis: VerifierKey) -> tuple[SeenLog, int]:
        """The log as it was seen, and when; of a new one only its first key, and 0."""
        with self._database.connect() as connection:
            row = connection.execute(_OF_LOG, {"name": genesis.encode()}).first()
        if row is None:
            return SeenLog.first(genesis), 0
        epoch = Epoch(row.epoch, row.start, VerifierKey(genesis.name, row.key))
        return SeenLog(epoch, row.size, row.root), row.seen_us

    def see(self, genesis: VerifierKey, log: SeenLog, now_us: int) -> None:
        """Keep what was seen; it is durable then."""
        with self._database.begin() as connection:
            self._seen_in(connection, genesis, log, now_us)

    @staticmethod
    def _seen_in(connection: Connection, genesis: VerifierKey, log: SeenLog, now_us: int) -> None:
        values = {
            "genesis": genesis.encode(), "epoch": log.epoch.number, "start": log.epoch.start,
            "key": log.epoch.key.public, "size": log.size, "root": log.root, "seen_us": now_us,
        }  # fmt: skip
        connection.execute(_KEEP, values)

    def cosigned(self, witness: VerifierKey) -> CosignedHead:
        with self._database.connect() as connection:
            wanted = sa.select(_HEADS).where(_HEADS.c.witness == witness.encode())
            row = connection.execute(wanted).first()
        return CosignedHead() if row is None else CosignedHead(*row[1:])

    def take(self, witness: VerifierKey, head: CosignedHead) -> None:
        values = {"witness": witness.encode(), **vars(head)}
        with self._database.begin() as connection:
            connection.execute(sa.delete(_HEADS).where(_HEADS.c.witness == values["witness"]))
            connection.execute(sa.insert(_HEADS).values(values))
