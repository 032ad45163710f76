"""Erasure: the texts of one request, or of one item of a dataset, in every place where they are.

Rules: the entry is durable before anything is destroyed; after a crash or an error, the next start
or erasure repeats it. Nothing stays in free pages of the database or in its WAL. Places that cannot
be changed are named: backups of that time, with their date, and signed datasets.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.entry import Draft, LogEntry
from appliance.audit.eraser import key_of, texts_of
from appliance.audit.erasures import KIND
from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.db import scrub
from appliance.errors import NotFound, StateRefused, Unavailable
from appliance.governance import backups
from appliance.governance.backups import StoredBackup
from appliance.types import Json

TABLES: Final = """
CREATE TABLE erasures_done (
  seq INTEGER NOT NULL
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

_DONE: Final = sa.table("erasures_done", sa.column("seq"))
_PAGE: Final = 1_000
SHADOW: Final = "-shadow"
_LISTS: Final = {"queue_labels": "task", "labels_taken": "queue"}
"""Entries that commit to a list with answers of people, and the field that names what it is of."""


class Holder(Protocol):
    """A place with texts of requests and items. Methods block."""

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        """Count its texts of these ids, by the name of a task or queue."""

    def erase(self, ids: Collection[str]) -> None:
        """Destroy them; safe to repeat."""


@dataclass(frozen=True)
class ErasedTexts:
    """Result of an erasure.

    Attributes:
        places: erased texts by place, besides the log.
        backups: still hold them.
        datasets: signed, and still hold an item of this id.
    """

    seq: int
    places: Mapping[str, int]
    backups: tuple[StoredBackup, ...]
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class _Meant:
    """Subject of an erasure.

    Attributes:
        requests: ids of requests in the log: the one, its shadow, its searches for evidence.
        ids: of the texts in other places.
        since_us: time of the first entry; 0 where none is.
    """

    requests: tuple[str, ...]
    ids: frozenset[str]
    since_us: int


@dataclass(eq=False)
class Erasing:
    """Erases; one at a time is enough.

    Attributes:
        database: appliance.db, whose migrations include `TABLES`.
        holders: places besides the log, by name.
        datasets: which signed datasets have an item of one of these ids.
        aliases: the names under which gates have such items labelled.
    """

    data: Path
    database: Engine
    audit: AuditLog
    reader: LogReader
    holders: Mapping[str, Holder]
    datasets: Callable[[Collection[str]], list[str]]
    aliases: Callable[[Collection[str]], Collection[str]] = lambda ids: ()

    def erase(self, request_id: str, actor: str, reason: str) -> ErasedTexts:
        """Erase all prompts and answers under an id.

        `not_found` when nothing keeps a text of it; `request_running`; `erasure_unfinished`.
        """
        meant = self._meant(request_id)
        if self._answering(meant.requests):
            raise StateRefused("request_running", f"{request_id} is still being answered.")
        held = {name: holder.holds(meant.ids) for name, holder in self.holders.items()}
        entries: list[Json] = [
            e.seq for request in meant.requests for e in texts_of(self.reader, request)
        ]
        places = {name: sum(found.values()) for name, found in held.items() if found}
        datasets = self.datasets(meant.ids)
        if not entries and not places and not datasets:
            raise NotFound("not_found", f"Nothing keeps a text of {request_id!r}.")
        lists = {name for found in held.values() for name in found}
        entries += [e.seq for e in self._lists(lists, meant)]
        kept = [one for one in backups.known(self.data) if one.made_us >= meant.since_us]
        fields: dict[str, Json] = {
            "actor": actor,
            "entries": entries,
            "reason": reason,
            "request_id": request_id,
            "places": dict(places),
            "backups": [one.time.isoformat() for one in kept],
            "datasets": list(datasets),
        }
        if aliases := self.aliases(meant.ids):
            fields["aliases"] = list(aliases)
        (receipt,) = self.audit.append(Draft(KIND, fields)).result()
        self.catch_up()
        return ErasedTexts(receipt.seq, places, tuple(kept), tuple(datasets))

    def catch_up(self) -> bool:
        """Complete recorded erasures; True if there was one (`erasure_unfinished`)."""
        after = self._done()
        todo = list(self._entries(Query(kind=KIND, after=after, limit=_PAGE)))
        try:
            for entry in todo:
                meant = self._meant(str(entry.body["request_id"]))
                for holder in self.holders.values():
                    holder.erase(meant.ids)
            if todo:
                scrub(self.database)
                with self.database.begin() as connection:
                    connection.execute(sa.delete(_DONE))
                    connection.execute(sa.insert(_DONE).values(seq=todo[-1].seq))
        except (SQLAlchemyError, OSError) as error:  # such as a full disk
            raise Unavailable("erasure_unfinished", f"{type(error).__name__}.") from error
        return bool(todo)

    def _done(self) -> int:
        with self.database.begin() as connection:
            found = connection.execute(sa.select(_DONE.c.seq)).scalar()
        return -1 if found is None else int(found)

    def _meant(self, request_id: str) -> _Meant:
        requests, ids, since = [request_id, request_id + SHADOW], {request_id}, 0
        for entry in self._entries(Query(request_id=request_id, limit=_PAGE)):
            if entry.kind == KIND:
                continue
            since = since or entry.time_us
            if isinstance(item := entry.body.get("item"), str):
                ids.add(item)
            retrieved = entry.body.get("retrieved")
            if isinstance(retrieved, dict) and isinstance(search := retrieved.get("search"), str):
                requests.append(search)
        return _Meant(tuple(requests), frozenset(ids), since)

    def _answering(self, requests: Collection[str]) -> bool:
        """True if the texts of an answer are yet to come."""
        begun, ended = set[Json](), set[Json]()
        for request in requests:
            for entry in self._entries(Query(request_id=request, limit=_PAGE)):
                if entry.kind == "intent":
                    begun.add(entry.seq)
                elif entry.kind == "outcome":
                    ended.add(entry.body["intent"])
        return bool(begun - ended)

    def _lists(self, names: Collection[str], meant: _Meant) -> Iterator[LogEntry]:
        if not names:
            return
        asked = Query(kind="admin", since_us=meant.since_us or None, limit=_PAGE)
        for entry in self._entries(asked):
            field = _LISTS.get(str(entry.body["action"]))
            if field is not None and entry.body.get(field) in names and key_of(entry) is not None:
                yield entry

    def _entries(self, query: Query) -> Iterator[LogEntry]:
        after: int | None = -1 if query.after is None else query.after
        while after is not None:
            page = self.reader.search(dataclasses.replace(query, after=after))
            yield from page.entries
            after = page.resume
