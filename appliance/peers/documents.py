"""Documents that travel between the appliances of a site, as they were signed, in `appliance.db`.

Rules: the newest version of each document is kept, at the next place, from which another appliance
continues reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

TABLES = """\
CREATE TABLE travelling (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  final INTEGER NOT NULL,
  digest TEXT NOT NULL,
  place INTEGER NOT NULL UNIQUE,
  waits TEXT NOT NULL,
  envelope BLOB NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""
_DOCUMENTS = sa.table(
    "travelling",
    *map(sa.column, ("kind", "id", "version", "final", "digest", "place", "waits", "envelope")),
)


@dataclass(frozen=True)
class TravellingDocument:
    """A verified document.

    Attributes:
        final: nothing comes after it, whatever its version.
        digest: hex SHA-256 of the signed bytes.
    """

    kind: str
    id: str
    version: int
    digest: str
    envelope: bytes
    final: bool = False

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Order of two documents about one thing, the same on each appliance."""
        return self.final, self.version, self.digest


@dataclass(frozen=True)
class KeptDocument:
    """A kept document.

    Attributes:
        place: counts documents taken here.
        waits: the code of why it does not hold here yet; "" where it does.
    """

    document: TravellingDocument
    place: int
    waits: str


class TravelLine(msgspec.Struct, frozen=True):
    """A document on its way."""

    kind: str
    envelope: str


@dataclass(frozen=True)
class TravelRefusal:
    """A refused document."""

    kind: str
    code: str
    message: str


class TravelStore:
    """The documents of one appliance.

    Args:
        database: an engine whose migrations include `TABLES`.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def get(self, kind: str, document_id: str) -> TravellingDocument | None:
        about = (_DOCUMENTS.c.kind == kind) & (_DOCUMENTS.c.id == document_id)
        return next((kept.document for kept in self._read(about)), None)

    def of(self, kind: str) -> list[TravellingDocument]:
        """All of a kind, in the order of their arrival."""
        return [kept.document for kept in self._read(_DOCUMENTS.c.kind == kind)]

    def waiting(self) -> list[KeptDocument]:
        return list(self._read(_DOCUMENTS.c.waits != ""))

    def after(self, place: int, most: int) -> list[KeptDocument]:
        return list(self._read(_DOCUMENTS.c.place > place, most))

    def put(self, document: TravellingDocument, waits: str = "") -> None:
        """Keep a document in place of its earlier version, durably."""
        newest = sa.select(sa.func.coalesce(sa.func.max(_DOCUMENTS.c.place), 0) + 1)
        about = (_DOCUMENTS.c.kind == document.kind) & (_DOCUMENTS.c.id == document.id)
        with self._database.begin() as connection:
            place = connection.execute(newest).scalar_one()
            connection.execute(sa.delete(_DOCUMENTS).where(about))
            connection.execute(
                sa.insert(_DOCUMENTS).values(
                    kind=document.kind,
                    id=document.id,
                    version=document.version,
                    final=int(document.final),
                    digest=document.digest,
                    place=place,
                    waits=waits,
                    envelope=document.envelope,
                )
            )

    def holds(self, document: TravellingDocument, waits: str = "") -> None:
        """Note that a document holds here now, or why it still does not."""
        about = (_DOCUMENTS.c.kind == document.kind) & (_DOCUMENTS.c.id == document.id)
        with self._database.begin() as connection:
            connection.execute(sa.update(_DOCUMENTS).where(about).values(waits=waits))

    def _read(self, about: sa.ColumnElement[bool], most: int = -1) -> Iterator[KeptDocument]:
        asked = sa.select(_DOCUMENTS).where(about).order_by(_DOCUMENTS.c.place).limit(most)
        with self._database.connect() as connection:
            rows = connection.execute(asked).all()
        for row in rows:
            document = TravellingDocument(
                row.kind, row.id, row.version, row.digest, bytes(row.envelope), bool(row.final)
            )
            yield KeptDocument(document, row.place, row.waits)
