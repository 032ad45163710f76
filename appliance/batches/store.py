"""The batches of all keys, and which line has its answer, in `DATA/files.db`.

Rules: a line's answer and the counts of its batch are one transaction: a line has an answer once,
in the output or in the errors, however often the server ends. A batch records its end before it
ends, so that a restart finishes it. The client's metadata is encrypted like lines.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from threading import Lock
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.batches.files import ERASED, OUTPUT, KeptFiles
from appliance.batches.lines import LineProblem, line_of, new_batch_id
from appliance.clock import Clock
from appliance.db import reading, scrub
from appliance.errors import NotFound, Overloaded, StateRefused

BATCHES: Final = """
CREATE TABLE batches (
  id TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  input TEXT NOT NULL,
  output TEXT NOT NULL,
  errors TEXT NOT NULL,
  status TEXT NOT NULL,
  becomes TEXT NOT NULL DEFAULT '',
  job INTEGER,
  model TEXT NOT NULL DEFAULT '',
  total INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  hours INTEGER NOT NULL,
  keep_s INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  begun_us INTEGER,
  moved_us INTEGER,
  cancelling_us INTEGER,
  ending_us INTEGER,
  ended_us INTEGER,
  wrapped BLOB NOT NULL,
  nonce BLOB NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
CREATE INDEX batches_by_key ON batches (key_id, created_us);
CREATE INDEX batches_by_status ON batches (status);
"""
"""SQL script for files.db; a migration in the sense of `appliance.db`."""

BatchEnd = Literal["completed", "failed", "expired", "cancelled"]
LIVE: Final = ("validating", "in_progress", "cancelling", "finalizing")
MOST_LIVE: Final = 100
"""Batches of one key that have not ended."""


@dataclass(frozen=True)
class WantedBatch:
    """A batch as a key asks for it; it expires after `hours`, its files after `keep_s`."""

    key_id: str
    endpoint: str
    input: str
    hours: int
    keep_s: int
    metadata: Mapping[str, str] | None


@dataclass(frozen=True)
class StoredBatch(WantedBatch):
    """A batch.

    Attributes:
        becomes: its end, once that is decided; "" before.
        job: that runs it; None before its start.
        model: that all lines ask; "" before the check.
        until_us: when it expires.
        moved_us: when it last got an answer, or began.
        problems: of its file, or why it failed.
    """

    id: str
    output: str
    errors: str
    status: str
    becomes: str
    job: int | None
    model: str
    total: int
    completed: int
    failed: int
    created_us: int
    until_us: int
    begun_us: int | None
    moved_us: int | None
    cancelling_us: int | None
    ending_us: int | None
    ended_us: int | None
    problems: tuple[LineProblem, ...]

    @property
    def live(self) -> bool:
        return self.status in LIVE


_COLUMNS: Final = [
    each.name for each in fields(StoredBatch) if each.name not in ("metadata", "problems")
]
_SEALED: Final = ("wrapped", "nonce", "sealed")
_ROWS: Final = sa.table("batches", *map(sa.column, (*_COLUMNS, *_SEALED)))
# What a change depends on is read by the change itself: a cancellation comes at any time.
_UNDECIDED: Final = _ROWS.c.becomes == ""
_CANCELLING: Final = _ROWS.c.status == "cancelling"


class BatchStore:
    """Reads and writes them, and is a place where texts of requests lie. Methods block."""

    def __init__(self, database: Engine, clock: Clock, files: KeptFiles) -> None:
        self._database, self._clock, self._files = database, clock, files
        self._erasing, self._erased = Lock(), set[tuple[str, int]]()

    def create(self, wanted: WantedBatch) -> StoredBatch:
        """Make a batch of a file, to be checked (`file_not_found`, `too_many_batches`)."""
        batch, now = new_batch_id(), self._clock.wall_us()
        self._files.get(wanted.key_id, wanted.input)
        if len(self.live(wanted.key_id)) >= MOST_LIVE:
            message = f"{MOST_LIVE} batches of this key have not ended."
            raise Overloaded("too_many_batches", message)
        until = now + wanted.hours * 3_600_000_000
        ends = until + wanted.keep_s * 1_000_000
        made = {
            name: self._files.begin(wanted.key_id, OUTPUT, f"{batch}_{name}.jsonl", ends)
            for name in ("output", "errors")
        }
        row = {
            **{name: value for name, value in vars(wanted).items() if name != "metadata"},
            **made,
            **self._files.locked(batch, {"metadata": wanted.metadata, "problems": []}),
            "id": batch,
            "status": "validating",
            "created_us": now,
            "until_us": until,
        }
        with self._database.begin() as connection:
            connection.execute(sa.insert(_ROWS).values(row))
        return self.get(batch)

    def get(self, batch: str, key_id: str | None = None) -> StoredBatch:
        """`batch_not_found` also for another key than its own."""
        mine = _ROWS.c.id == batch
        if key_id is not None:
            mine &= _ROWS.c.key_id == key_id
        found = self._all(sa.select(_ROWS).where(mine))
        if not found:
            raise NotFound("batch_not_found", "No such batch of this key is kept.")
        return found[0]

    def listed(self, key_id: str) -> list[StoredBatch]:
        asked = sa.select(_ROWS).where(_ROWS.c.key_id == key_id)
        return self._all(asked.order_by(_ROWS.c.created_us.desc(), _ROWS.c.id.desc()))

    def live(self, key_id: str | None = None) -> list[StoredBatch]:
        asked = sa.select(_ROWS).where(_ROWS.c.status.in_(LIVE))
        if key_id is not None:
            asked = asked.where(_ROWS.c.key_id == key_id)
        return self._all(asked.order_by(_ROWS.c.created_us))

    def remove(self, batch: StoredBatch) -> None:
        self._files.remove(batch.output)
        self._files.remove(batch.errors)
        with self._database.begin() as connection:
            connection.execute(sa.delete(_ROWS).where(_ROWS.c.id == batch.id))

    def given(self, batch: str, job: int) -> StoredBatch:
        return self._set(batch, job=job)

    def begin(self, batch: str, model: str, total: int) -> StoredBatch:
        """Note that a batch was checked, and runs unless cancelled meanwhile."""
        now = self._clock.wall_us()
        status = sa.case((_CANCELLING, _ROWS.c.status), else_="in_progress")
        return self._set(batch, status=status, model=model, total=total, begun_us=now, moved_us=now)

    def cancel(self, batch: str, key_id: str) -> StoredBatch:
        """End a batch (`batch_not_found`, `batch_ended`)."""
        found = self.get(batch, key_id)
        if not found.live:
            raise StateRefused("batch_ended", f"The batch is {found.status}.")
        now = self._clock.wall_us()
        noted = {"status": "cancelling", "becomes": "cancelled", "cancelling_us": now}
        once = {
            name: sa.case((_UNDECIDED, new), else_=_ROWS.c[name]) for name, new in noted.items()
        }
        return self._set(batch, **once)

    def decide(
        self, batch: str, becomes: BatchEnd, problems: Sequence[LineProblem] = ()
    ) -> StoredBatch:
        """Note the end of a batch before its files are finished; a first decision stays."""
        found = self.get(batch)
        told = problems or found.problems
        about = {"metadata": found.metadata, "problems": msgspec.to_builtins(told)}
        return self._set(
            batch,
            becomes=sa.case((_UNDECIDED, becomes), else_=_ROWS.c.becomes),
            status=sa.case((_CANCELLING, _ROWS.c.status), else_="finalizing"),
            ending_us=sa.case((_CANCELLING, None), else_=self._clock.wall_us()),
            **self._files.locked(batch, about),
        )

    def keep(
        self, batch: StoredBatch, line: int, text: bytes, requests: Collection[str], *, ok: bool
    ) -> None:
        """Keep the answer to a line; durable when this returns. Raises SQLAlchemyError."""
        file, count = (batch.output, "completed") if ok else (batch.errors, "failed")
        moved = {count: _ROWS.c[count] + 1, "moved_us": self._clock.wall_us()}
        with self._erasing, self._database.begin() as connection:
            if (file, line) in self._erased:  # while it was being answered
                text = ERASED
            self._files.write(connection, file, line, text, requests=requests)
            connection.execute(sa.update(_ROWS).where(_ROWS.c.id == batch.id).values(moved))

    def keep_unanswered(self, batch: StoredBatch, lines: Sequence[tuple[int, bytes]]) -> None:
        """Keep the errors of unanswered lines, as `keep` does."""
        failed = {"failed": _ROWS.c.failed + len(lines)}
        with self._database.begin() as connection:
            for line, text in lines:
                self._files.write(connection, batch.errors, line, text)
            connection.execute(sa.update(_ROWS).where(_ROWS.c.id == batch.id).values(failed))

    def end(self, batch: StoredBatch) -> StoredBatch:
        """Put the decided end in force, and publish the files."""
        now = self._clock.wall_us()
        until = now + batch.keep_s * 1_000_000
        with self._database.begin() as connection:
            files = {
                name: file if self._files.close(connection, file, until) else ""
                for name, file in (("output", batch.output), ("errors", batch.errors))
            }
            ended = {**files, "status": batch.becomes, "ended_us": now}
            connection.execute(sa.update(_ROWS).where(_ROWS.c.id == batch.id).values(ended))
        return self.get(batch.id)

    def answered(self, batch: StoredBatch, lines: int) -> bytearray:
        """The lines that have an answer: a byte for each line."""
        found = bytearray(lines)
        for file in (batch.output, batch.errors):
            for number in self._files.numbers(file):
                found[number] = 1
        return found

    def tidy(self, *, starting: bool = False) -> None:
        """Destroy files and batches that are over; when starting, unfinished uploads, too."""
        live = self.live()
        outputs = [file for batch in live for file in (batch.output, batch.errors)]
        used = [*outputs, *(batch.input for batch in live)]
        self._files.tidy(used, outputs if starting else None)
        over = _ROWS.c.ended_us + _ROWS.c.keep_s * 1_000_000 <= self._clock.wall_us()
        with self._database.begin() as connection:
            connection.execute(sa.delete(_ROWS).where(over))

    def check_unused(self, file: str) -> None:
        """Refuse a file that a batch reads."""
        users = [batch.id for batch in self.live() if batch.input == file]
        if users:
            raise StateRefused("file_in_use", f"{users[0]} reads the file.")

    def forget_file(self, file: str) -> None:
        self._files.remove(file)
        with self._database.begin() as connection:
            for column in (_ROWS.c.output, _ROWS.c.errors):
                gone = sa.update(_ROWS).where(column == file).values({column.name: ""})
                connection.execute(gone)

    # a place where texts of requests lie

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        """Count the lines of these requests, and their answers; they are of no task or queue."""
        found = sum(self._files.has(file, line) for file, line in self._lines(ids))
        return {"": found} if found else {}

    def erase(self, ids: Collection[str]) -> None:
        with self._erasing:
            lines = self._lines(ids)
            self._erased |= lines
            for file, line in lines:
                self._files.erase(file, line)
        scrub(self._database, anew=False)  # the file has always overwritten what was deleted

    def _lines(self, ids: Collection[str]) -> set[tuple[str, int]]:
        found = set[tuple[str, int]]()
        of_batches = {place for one in ids if (place := line_of(one)) is not None}
        for file, line in self._files.with_requests(ids):
            asked = sa.select(_ROWS).where((_ROWS.c.output == file) | (_ROWS.c.errors == file))
            of_batches |= {(batch.id, line) for batch in self._all(asked)}
        for name, line in of_batches:
            for batch in self._all(sa.select(_ROWS).where(_ROWS.c.id == name)):
                files = (batch.input, batch.output, batch.errors)
                found |= {(file, line) for file in files if file}
        return found

    def _all(self, asked: "sa.Select[Any]") -> list[StoredBatch]:
        with reading(self._database) as connection:
            return [self._batch(row) for row in connection.execute(asked).mappings()]

    def _batch(self, row: sa.RowMapping) -> StoredBatch:
        about = self._files.unlocked(row["id"], row)
        return StoredBatch(
            **{name: row[name] for name in _COLUMNS},
            metadata=about["metadata"],
            problems=tuple(msgspec.convert(about["problems"], list[LineProblem])),
        )

    def _set(self, batch: str, **columns: Any) -> StoredBatch:
        with self._database.begin() as connection:
            connection.execute(sa.update(_ROWS).where(_ROWS.c.id == batch).values(columns))
        return self.get(batch)
