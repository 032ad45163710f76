"""The files of apps, in parts, each encrypted as the texts of the log are, in `DATA/files.db`.

Rules:
- A part has a random key of its own, stored only wrapped with the log's key-encryption key; a row
  shows neither a name nor a line. A part of an uploaded file is some whole lines.
- A file belongs to one key, and does not exist for another, nor before it is whole.
- Expired files go at the next look. An erased line leaves `ERASED` in its place.
"""

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.audit.content import LockedText, lock, unlock
from appliance.clock import Clock
from appliance.db import reading
from appliance.errors import BadRequest, NotFound

TABLES: Final = """
CREATE TABLE files (
  id TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL
) STRICT;
CREATE INDEX files_by_key ON files (key_id, created_us);
CREATE INDEX files_by_time ON files (until_us);
CREATE TABLE file_parts (
  file TEXT NOT NULL,
  number INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  requests TEXT NOT NULL,
  wrapped BLOB NOT NULL,
  nonce BLOB NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (file, number)
) STRICT;
CREATE INDEX file_parts_by_request ON file_parts (requests) WHERE requests != '';
"""
"""SQL script for files.db; a migration in the sense of `appliance.db`."""

INPUT: Final = "batch"
OUTPUT: Final = "batch_output"
LEAST_BYTES: Final = 4 << 10
"""What a smaller file counts, so that room also bounds the number of files."""
ERASED: Final = (
    b'{"id":null,"custom_id":null,"response":null,'
    b'"error":{"code":"erased","message":"The line was erased."}}\n'
)
_NAME: Final = -1  # the number of the part with the file's name
_TEXT: Final = "part"
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_PAGE_BYTES: Final = 1 << 20
_PAGE: Final = 256

_FILES: Final = sa.table(
    "files",
    *map(
        sa.column,
        ("id", "key_id", "purpose", "bytes", "lines", "whole", "created_us", "until_us"),
    ),
)
_PARTS: Final = sa.table(
    "file_parts",
    *map(
        sa.column,
        ("file", "number", "lines", "bytes", "requests", "wrapped", "nonce", "sealed"),
    ),
)


@dataclass(frozen=True)
class KeptFile:
    """A file.

    Attributes:
        purpose: `INPUT` or `OUTPUT`.
        until_us: when it goes.
    """

    id: str
    key_id: str
    name: str
    purpose: str
    bytes: int
    lines: int
    created_us: int
    until_us: int


@dataclass(frozen=True)
class FilePart:
    """Some lines of a file, and the number of the first."""

    number: int
    text: bytes


def lines_of(text: bytes) -> list[bytes]:
    """The lines, each with its end."""
    return _LINE.findall(text)


class KeptFiles:
    """The files of all keys, in files.db. Methods block."""

    def __init__(self, database: Engine, clock: Clock, kek: Callable[[], bytes]) -> None:
        self._database, self._clock, self._kek = database, clock, kek

    def begin(self, key_id: str, purpose: str, name: str, until_us: int) -> str:
        """Make an empty file, hidden until `finish`; its id."""
        file = f"file-{secrets.token_hex(16)}"
        row = {
            "id": file,
            "key_id": key_id,
            "purpose": purpose,
            "bytes": 0,
            "lines": 0,
            "whole": 0,
            "created_us": self._clock.wall_us(),
            "until_us": until_us,
        }
        with self._database.begin() as connection:
            connection.execute(sa.insert(_FILES).values(row))
            part = self._part(file, _NAME, name.encode("utf-8", "replace"), lines=0)
            connection.execute(sa.insert(_PARTS).values(part))
        return file

    def append(self, file: str, number: int, text: bytes, lines: int) -> None:
        """Add some lines, of which the first has this number."""
        with self._database.begin() as connection:
            self.write(connection, file, number, text, lines)

    def write(
        self,
        connection: Connection,
        file: str,
        number: int,
        text: bytes,
        lines: int = 1,
        requests: Collection[str] = (),
    ) -> None:
        """Add some lines in a transaction.

        Args:
            requests: ids in the log besides the line's own.
        """
        part = self._part(file, number, text, lines) | {"requests": " ".join(requests)}
        connection.execute(sa.insert(_PARTS).values(part))
        grown = {"bytes": _FILES.c.bytes + len(text), "lines": _FILES.c.lines + lines}
        connection.execute(sa.update(_FILES).where(_FILES.c.id == file).values(grown))

    def finish(self, file: str, until_us: int | None = None) -> KeptFile:
        with self._database.begin() as connection:
            self.close(connection, file, until_us)
        return self.known(file)

    def close(self, connection: Connection, file: str, until_us: int | None = None) -> bool:
        """Finish a file in a transaction, or remove one without a line; True if it exists."""
        counted = sa.select(_FILES.c.lines).where(_FILES.c.id == file)
        if not connection.execute(counted).scalar():
            self._remove(connection, [file])
            return False
        known = {} if until_us is None else {"until_us": until_us}
        update = sa.update(_FILES).where(_FILES.c.id == file).values(whole=1, **known)
        connection.execute(update)
        return True

    def get(self, key_id: str, file: str) -> KeptFile:
        """Raises `file_not_found`."""
        now = self._clock.wall_us()
        mine = (_FILES.c.id == file) & (_FILES.c.key_id == key_id) & (_FILES.c.whole == 1)
        return self._file(mine & (_FILES.c.until_us > now))

    def known(self, file: str) -> KeptFile:
        """A file of whatever key."""
        return self._file(_FILES.c.id == file)

    def listed(
        self, key_id: str, purpose: str | None, after: str | None, most: int, *, newest_first: bool
    ) -> list[KeptFile]:
        """A key's whole files that are not over, after one (`invalid_value`)."""
        mine = (_FILES.c.key_id == key_id) & (_FILES.c.whole == 1)
        mine &= _FILES.c.until_us > self._clock.wall_us()
        if purpose is not None:
            mine &= _FILES.c.purpose == purpose
        order = (_FILES.c.created_us, _FILES.c.id)
        with reading(self._database) as connection:
            if after is not None:
                known = sa.select(*order).where(mine & (_FILES.c.id == after))
                place = connection.execute(known).first()
                if place is None:
                    what = "after: it is not in the list."
                    raise BadRequest("invalid_value", what, param="after")
                here, there = sa.tuple_(*order), sa.tuple_(*place)
                mine &= here < there if newest_first else here > there
            asked = sa.select(_FILES).where(mine).limit(most)
            asked = asked.order_by(*(sa.desc(c) if newest_first else c for c in order))
            return [self._kept(connection, row) for row in connection.execute(asked).mappings()]

    def used(self, key_id: str) -> int:
        """Bytes of a key's files, unfinished ones too; each `LEAST_BYTES` or more."""
        each = sa.func.max(_FILES.c.bytes, LEAST_BYTES)
        asked = sa.select(sa.func.coalesce(sa.func.sum(each), 0))
        with reading(self._database) as connection:
            return int(connection.execute(asked.where(_FILES.c.key_id == key_id)).scalar_one())

    def remove(self, file: str) -> None:
        with self._database.begin() as connection:
            self._remove(connection, [file])

    def parts(self, file: str, first: int = 0) -> Iterator[FilePart]:
        """The lines of a file in order, from the part with line `first` on."""
        begin = sa.select(sa.func.max(_PARTS.c.number)).where(
            (_PARTS.c.file == file) & (_PARTS.c.number.between(0, first))
        )
        with reading(self._database) as connection:
            after = connection.execute(begin).scalar()
        after = -1 if after is None else int(after) - 1
        while page := self._page(file, after):
            yield from page
            after = page[-1].number

    def numbers(self, file: str) -> Iterator[int]:
        after = -1
        asked = sa.select(_PARTS.c.number).where(_PARTS.c.file == file)
        while True:
            with reading(self._database) as connection:
                page = asked.where(_PARTS.c.number > after).order_by(_PARTS.c.number)
                found = connection.execute(page.limit(10_000)).scalars().all()
            if not found:
                return
            yield from found
            after = found[-1]

    def tidy(self, used: Collection[str], unfinished: Collection[str] | None = None) -> None:
        """Destroy what is over.

        Args:
            used: files that stay while something needs them.
            unfinished: files that are not whole and yet stay; None keeps all of these.
        """
        over = _FILES.c.until_us <= self._clock.wall_us()
        if unfinished is not None:
            over |= (_FILES.c.whole == 0) & _FILES.c.id.not_in(unfinished)
        asked = sa.select(_FILES.c.id).where(over & _FILES.c.id.not_in(used))
        with self._database.begin() as connection:
            gone = connection.execute(asked).scalars().all()
            if gone:
                self._remove(connection, gone)

    def with_requests(self, ids: Collection[str]) -> list[tuple[str, int]]:
        """Parts that name one of these requests, by file and number."""
        found = []
        asked = sa.select(_PARTS.c.file, _PARTS.c.number)
        with reading(self._database) as connection:
            for one in ids:
                named = (_PARTS.c.requests != "") & _PARTS.c.requests.contains(one, autoescape=True)
                found += [(row.file, row.number) for row in connection.execute(asked.where(named))]
        return found

    def has(self, file: str, line: int) -> bool:
        """True if a file has a line that was not erased."""
        part = next(self.parts(file, line), None)
        if part is None:
            return False
        lines = lines_of(part.text)
        place = line - part.number
        return 0 <= place < len(lines) and lines[place] != ERASED

    def erase(self, file: str, line: int) -> None:
        """Destroy one line: the other lines of its part get a new key."""
        part = next(self.parts(file, line), None)
        if part is None or not self.has(file, line):
            return
        lines = lines_of(part.text)
        lines[line - part.number] = ERASED
        text = b"".join(lines)
        made = self._part(file, part.number, text, len(lines))
        here = (_PARTS.c.file == file) & (_PARTS.c.number == part.number)
        less = _FILES.c.bytes + len(text) - len(part.text)
        with self._database.begin() as connection:
            connection.execute(sa.update(_PARTS).where(here).values(made))
            connection.execute(sa.update(_FILES).where(_FILES.c.id == file).values(bytes=less))

    def locked(self, place: str, document: object) -> Mapping[str, bytes]:
        """A document as columns, encrypted for one place as parts are."""
        return vars(lock(self._kek(), place, _TEXT, json.dumps(document).encode()))

    def unlocked(self, place: str, row: sa.RowMapping) -> Any:
        locked = LockedText(row["wrapped"], row["nonce"], row["sealed"])
        return json.loads(unlock(self._kek(), place, _TEXT, locked))

    def _part(
        self, file: str, number: int, text: bytes, lines: int
    ) -> dict[str, str | int | bytes]:
        made = {"file": file, "number": number, "lines": lines, "bytes": len(text), "requests": ""}
        return {**made, **vars(lock(self._kek(), f"{file}/{number}", _TEXT, text))}

    def _page(self, file: str, after: int) -> list[FilePart]:
        """Parts of a mebibyte together, of one at least."""
        mine = (_PARTS.c.file == file) & (_PARTS.c.number > after)
        sizes = sa.select(_PARTS.c.number, _PARTS.c.bytes).where(mine)
        with reading(self._database) as connection:
            last, total = after, 0
            page = sizes.order_by(_PARTS.c.number).limit(_PAGE)
            for number, size in connection.execute(page):
                if total and total + size > _PAGE_BYTES:
                    break
                last, total = number, total + size
            asked = sa.select(_PARTS).where(mine & (_PARTS.c.number <= last))
            rows = connection.execute(asked.order_by(_PARTS.c.number)).all()
        return [FilePart(row.number, self._open(row)) for row in rows]

    def _open(self, row: Any) -> bytes:
        locked = LockedText(row.wrapped, row.nonce, row.sealed)
        return unlock(self._kek(), f"{row.file}/{row.number}", _TEXT, locked)

    def _file(self, which: sa.ColumnElement[bool]) -> KeptFile:
        with reading(self._database) as connection:
            row = connection.execute(sa.select(_FILES).where(which)).mappings().first()
            if row is None:
                raise NotFound("file_not_found", "No such file of this key is kept.")
            return self._kept(connection, row)

    def _kept(self, connection: Connection, row: sa.RowMapping) -> KeptFile:
        named = (_PARTS.c.file == row["id"]) & (_PARTS.c.number == _NAME)
        name = self._open(connection.execute(sa.select(_PARTS).where(named)).one())
        known = {column: row[column] for column in row if column != "whole"}
        return KeptFile(name=name.decode(), **known)

    @staticmethod
    def _remove(connection: Connection, files: Collection[str]) -> None:
        connection.execute(sa.delete(_PARTS).where(_PARTS.c.file.in_(files)))
        connection.execute(sa.delete(_FILES).where(_FILES.c.id.in_(files)))
