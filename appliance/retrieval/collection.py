"""One collection: documents, versions, access lists, chunks and vectors in one database.

Rules:
- A document comes in with its text, chunks and vectors in one transaction, or not at all.
- Only the current version of a document is searched. Earlier ones keep their text, for passages of
  old answers, until the document is removed.
- Every change raises the generation, which answers are recorded with.
- Texts, headings, values and vectors lie encrypted (`schema.TEXTS`); no index of words is on disk.
- Removing a document overwrites its bytes: SQLite zeroes what it frees, and the log of writes is
  emptied.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, text

from appliance.clock import iso
from appliance.db import (
    LENGTH,
    give,
    open_database,
    open_readonly,
    seal,
    sealed_columns,
)
from appliance.errors import CollectionRefused
from appliance.host import at_rest
from appliance.retrieval.access import AccessSet
from appliance.retrieval.chunking import TextChunk
from appliance.retrieval.extracted import Extracted
from appliance.retrieval.ranking import Floats
from appliance.retrieval.schema import (
    CHUNKS,
    INGESTS,
    METADATA,
    MIGRATIONS,
    REPORTS,
    TEXTS,
    VECTORS,
    VERSIONS,
)
from appliance.retrieval.terms import language_of
from appliance.wire.admin.collections import Document

RANKINGS: Final = ("bm25", "vectors", "fusion")
EMBEDDED_BUDGET: Final = 440
"""Default budget in tokens of a chunk that gets a vector; measured on `debfaq`."""
_FORGOTTEN_US: Final = 30 * 86_400_000_000
_SEALED: Final = "sealed"
"""The setting of a collection whose texts are all encrypted."""
_WORD: Final = re.compile(r"\w+")
_NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Settings:
    """Settings of a collection; only `ranking` changes later.

    Attributes:
        embedder: id of the model that makes its vectors; "" for none.
        ranking: bm25, vectors or fusion.
        budget, overlap: of chunks, in estimated tokens.
    """

    embedder: str = ""
    embedder_digest: str = ""
    query_prefix: str = ""
    passage_prefix: str = ""
    ranking: str = "bm25"
    budget: int = 220
    overlap: int = 40


@dataclass(frozen=True)
class Counts:
    """Size and state of a collection."""

    documents: int
    chunks: int
    generation: int


@dataclass(frozen=True)
class Incoming:
    """A document that was read, cut and embedded.

    Attributes:
        source_sha256: digest of its file.
        access: its readers; None keeps a known document's list.
        vectors: one a chunk, of length 1; None without an embedder.
    """

    name: str
    source_sha256: str
    media: str
    extracted: Extracted
    chunks: Sequence[TextChunk]
    vectors: Floats | None = None
    access: tuple[str, ...] | None = None
    metadata: Mapping[str, str] | None = None


class OpenCollection:
    """One collection, open for reading and writing. Methods block and may run in any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        cipher = at_rest.cipher_of(path, at_rest.COLLECTION)
        self._database = open_database(path, MIGRATIONS, erases=True)
        self._reading = open_readonly(path)
        give(self._reading, cipher)
        give(self._database, cipher)
        self.settings = self._read_settings()
        if cipher and not self._is_sealed():
            self.seal()

    @classmethod
    def create(cls, path: Path, settings: Settings) -> None:
        database = open_database(path, MIGRATIONS, erases=True)
        with database.begin() as connection:
            for name, value in vars(settings).items():
                _set(connection, name, str(value))
            _set(connection, "generation", "1")
            if at_rest.cipher_of(path, at_rest.COLLECTION):
                _set(connection, _SEALED, "1")
        database.dispose()

    def seal(self, *, anew: bool = False) -> None:
        """Encrypt the texts that lie in plain, or also those under an older key."""
        seal(self._database, at_rest.cipher_of(self.path, at_rest.COLLECTION), TEXTS, anew=anew)
        with self._database.begin() as connection:
            _set(connection, _SEALED, "1")

    def close(self) -> None:
        self._reading.dispose()
        self._database.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the database; blocks no writer."""
        with self._reading.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def counts(self) -> Counts:
        with self.reading() as connection:
            documents = connection.exec_driver_sql("SELECT count(*) FROM documents").scalar_one()
            chunks = connection.exec_driver_sql("SELECT count(*) FROM chunks").scalar_one()
            return Counts(int(documents), int(chunks), generation(connection))

    def generation(self) -> int:
        with self.reading() as connection:
            return generation(connection)

    # documents

    def put(self, incoming: Incoming, by: str, now_us: int) -> int:
        """Store a document, as a new version when its name is known; returns the version.

        Raises:
            CollectionRefused: `access_missing` for a new document without a list.
        """
        with self._writing() as connection:
            document = self._document(connection, incoming, by, now_us)
            number, version = self._version(connection, document, incoming, now_us)
            self._retire(connection, document)
            self._fill(connection, document, version, incoming)
            connection.execute(
                text("UPDATE documents SET current = :version WHERE id = :id"),
                {"version": version, "id": document},
            )
            if incoming.access is not None:
                _grant(connection, document, incoming.access)
        return number

    def known(self, name: str) -> str:
        """Digest of the last file; "" for no such document."""
        with self.reading() as connection:
            found = connection.execute(
                text(
                    "SELECT v.source_sha256 FROM documents d JOIN versions v ON v.id = d.current"
                    " WHERE d.name = :name"
                ),
                {"name": name},
            ).scalar()
        return str(found or "")

    def grant(self, name: str, access: Sequence[str]) -> None:
        """Raises CollectionRefused (`document_missing`)."""
        with self._writing() as connection:
            _grant(connection, _id_of(connection, name), access)

    def remove(self, names: Sequence[str]) -> int:
        """Remove documents with all versions, and overwrite their bytes; returns their number.

        Raises:
            CollectionRefused: `document_missing`, and nothing was removed.
        """
        with self._writing() as connection:
            for name in names:
                document = _id_of(connection, name)
                self._retire(connection, document)
                parameters = {"id": document, "name": name}
                connection.execute(text("DELETE FROM documents WHERE id = :id"), parameters)
                connection.execute(text("DELETE FROM reports WHERE name = :name"), parameters)
        self.empty_log()
        return len(names)

    def erase(self) -> None:
        """Raises CollectionRefused (`collection_busy`)."""
        with self.reading() as connection:
            rows = connection.exec_driver_sql("SELECT name FROM documents").fetchall()
        self.remove([str(row[0]) for row in rows])

    def empty_log(self) -> None:
        """Move the log of writes into the database file, and empty it.

        Raises:
            CollectionRefused: `collection_busy` when a search took longer than five seconds.
        """
        with self._database.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise CollectionRefused("collection_busy", "A search holds the log of writes.")

    def documents(self, access: AccessSet) -> list[Document]:
        """Readable documents, by name."""
        with self.reading() as connection:
            allowed = set(readable(connection, access).tolist())
            lists: dict[int, list[str]] = {}
            for document, grantee in connection.execute(
                text("SELECT document, grantee FROM access ORDER BY document, grantee")
            ):
                lists.setdefault(document, []).append(grantee)
            rows = connection.execute(
                sealed_columns(
                    "SELECT v.document, d.name, v.number AS version, v.title, v.media, v.language,"  # noqa: S608
                    " v.pages, v.empty_pages, v.warnings, v.source_sha256, v.text_sha256,"
                    f" v.added_us, {LENGTH.format('v.text')} AS text_bytes, (SELECT count(*) FROM"
                    " chunks c WHERE c.version = v.id) AS chunks FROM documents d"
                    " JOIN versions v ON v.id = d.current ORDER BY d.name",
                    *VERSIONS.c,
                )
            ).mappings()
            return [
                Document.model_validate(
                    {
                        **row,
                        "warnings": json.loads(row["warnings"]),
                        "added": iso(row["added_us"]),
                        "access": lists.get(row["document"], ()),
                    }
                )
                for row in rows
                if row["document"] in allowed
            ]

    # metadata that an ingest waits with

    def keep_metadata(self, values: Mapping[str, str], now_us: int) -> int:
        """Keep values until their job has ended; returns their number."""
        with self._database.begin() as connection:
            old = INGESTS.c.created_us < now_us - _FORGOTTEN_US
            connection.execute(delete(INGESTS).where(old))
            new = insert(INGESTS).values(metadata=json.dumps(dict(values)), created_us=now_us)
            return int(connection.execute(new.returning(INGESTS.c.id)).scalar_one())

    def kept_metadata(self, number: int) -> dict[str, str]:
        """Values of a number. Raises CollectionRefused: `collection_invalid` when they are gone."""
        wanted = select(INGESTS.c.metadata).where(INGESTS.c.id == number)
        with self.reading() as connection:
            found = connection.execute(wanted).scalar()
        if found is None:
            raise CollectionRefused("collection_invalid", "The job's metadata are gone: add anew.")
        values: dict[str, str] = json.loads(found)
        return values

    def forget_metadata(self, number: int) -> None:
        with self._database.begin() as connection:
            connection.execute(delete(INGESTS).where(INGESTS.c.id == number))

    # reports and settings

    def report(self, job: int, name: str, state: str, code: str = "", message: str = "") -> None:
        row = {"job": job, "name": name, "state": state, "code": code, "message": message}
        with self._database.begin() as connection:
            connection.execute(insert(REPORTS).values(row).prefix_with("OR REPLACE"))

    def reports(self, job: int) -> list[dict[str, str]]:
        columns = (REPORTS.c.name, REPORTS.c.state, REPORTS.c.code, REPORTS.c.message)
        with self.reading() as connection:
            rows = connection.execute(select(*columns).where(REPORTS.c.job == job))
            return [dict(row) for row in rows.mappings()]

    def set_ranking(self, ranking: str) -> None:
        """Raises CollectionRefused (`collection_invalid`): there are no vectors to rank by."""
        if ranking not in RANKINGS or (ranking != "bm25" and not self.settings.embedder):
            raise CollectionRefused("collection_invalid", f"It cannot be ranked by {ranking!r}.")
        with self._writing() as connection:
            _set(connection, "ranking", ranking)
        self.settings = self._read_settings()

    # inside

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.begin() as connection:
            yield connection
            _set(connection, "generation", str(generation(connection) + 1))

    def _is_sealed(self) -> bool:
        with self.reading() as connection:
            found = text("SELECT 1 FROM settings WHERE name = :name")
            return connection.execute(found, {"name": _SEALED}).scalar() is not None

    def _read_settings(self) -> Settings:
        with self.reading() as connection:
            rows = connection.execute(text("SELECT name, value FROM settings"))
            kept = {str(row.name): str(row.value) for row in rows}
        return msgspec.convert(kept, Settings, strict=False)

    def _document(self, connection: Connection, new: Incoming, by: str, now_us: int) -> int:
        found = connection.execute(
            text("SELECT id FROM documents WHERE name = :name"), {"name": new.name}
        ).scalar()
        if found is None:
            if new.access is None:
                message = f"No reader is named for {new.name[:200]!r}."
                raise CollectionRefused("access_missing", message)
            found = connection.execute(
                text(
                    "INSERT INTO documents (name, added_us, added_by) VALUES (:name, :at, :by)"
                    " RETURNING id"
                ),
                {"name": new.name, "at": now_us, "by": by},
            ).scalar_one()
        if new.metadata is not None:
            connection.execute(delete(METADATA).where(METADATA.c.document == found))
            for name, value in new.metadata.items():
                row = {"document": found, "name": name, "value": value}
                connection.execute(insert(METADATA).values(row))
        return int(found)

    def _version(
        self, connection: Connection, document: int, new: Incoming, now_us: int
    ) -> tuple[int, int]:
        number = connection.execute(
            text("SELECT coalesce(max(number), 0) + 1 FROM versions WHERE document = :document"),
            {"document": document},
        ).scalar_one()
        extracted = new.extracted
        made = insert(VERSIONS).values(
            document=document,
            number=number,
            source_sha256=new.source_sha256,
            text_sha256=hashlib.sha256(extracted.text).hexdigest(),
            text=extracted.text,
            media=new.media,
            title=extracted.title,
            language=language_of(extracted.text[:80_000].decode("utf-8", "ignore")),
            pages=extracted.pages,
            empty_pages=extracted.empty_pages,
            warnings=json.dumps(extracted.warnings),
            added_us=now_us,
        )
        version = connection.execute(made.returning(VERSIONS.c.id)).scalar_one()
        return int(number), int(version)

    def _retire(self, connection: Connection, document: int) -> None:
        gone = text("DELETE FROM chunks WHERE document = :document")
        connection.execute(gone, {"document": document})

    def _fill(self, connection: Connection, document: int, version: int, new: Incoming) -> None:
        add_chunk = insert(CHUNKS).returning(CHUNKS.c.id)
        for number, chunk in enumerate(new.chunks):
            content = new.extracted.text[chunk.start : chunk.end]
            body = content.decode()
            row = {
                "version": version,
                "document": document,
                **vars(chunk),
                "words": len(_WORD.findall(body)),
                "sha256": hashlib.sha256(content).hexdigest(),
                "body": body,
            }
            made = connection.execute(add_chunk, row).scalar_one()
            if new.vectors is not None:
                vector = np.ascontiguousarray(new.vectors[number], "<f4").tobytes()
                connection.execute(insert(VECTORS), {"chunk": made, "vector": vector})


def generation(connection: Connection) -> int:
    """The generation that a connection reads."""
    row = connection.exec_driver_sql("SELECT value FROM settings WHERE name = 'generation'")
    return int(row.scalar_one())


def readable(
    connection: Connection, access: AccessSet, filters: Mapping[str, str] | None = None
) -> NDArray[np.int64]:
    """Readable documents with these metadata, rising."""
    if access.all:
        sql, names = "SELECT id FROM documents", {}
    else:
        names = {f"g{number}": name for number, name in enumerate(sorted(access.grantees))}
        marks = ", ".join(f":{mark}" for mark in names)
        sql = f"SELECT DISTINCT document AS id FROM access WHERE grantee IN ({marks})"  # noqa: S608
    found = _numbers(connection, sql, names)
    for name, value in (filters or {}).items():
        wanted = "SELECT document AS id FROM metadata WHERE name = :name AND value = :value"
        found = np.intersect1d(found, _numbers(connection, wanted, {"name": name, "value": value}))
    return found


def current(connection: Connection, documents: NDArray[np.int64]) -> Iterator[str]:
    """Name, version and digest, by name."""
    wanted = set(documents.tolist())
    rows = connection.exec_driver_sql(
        "SELECT d.id, d.name, v.number, v.text_sha256 FROM documents d"
        " JOIN versions v ON v.id = d.current ORDER BY d.name"
    )
    for row in rows:
        if row[0] in wanted:
            yield f"{row[1]}\x00{row[2]}\x00{row[3]}"


def _numbers(connection: Connection, sql: str, parameters: Mapping[str, str]) -> NDArray[np.int64]:
    """The column `id` of a query, rising, each once.

    As one text, since rows one by one take ten times as long.
    """
    joined = sealed_columns(f"SELECT group_concat(id) FROM ({sql})", *METADATA.c)  # noqa: S608
    found = connection.execute(joined, parameters).scalar()
    return np.unique(np.fromstring(str(found), np.int64, sep=",")) if found else _NONE


def _id_of(connection: Connection, name: str) -> int:
    found = connection.execute(
        text("SELECT id FROM documents WHERE name = :name"), {"name": name}
    ).scalar()
    if found is None:
        raise CollectionRefused("document_missing", f"There is no document {name[:200]!r}.")
    return int(found)


def _grant(connection: Connection, document: int, access: Iterable[str]) -> None:
    connection.execute(text("DELETE FROM access WHERE document = :id"), {"id": document})
    for grantee in access:
        connection.execute(
            text("INSERT INTO access VALUES (:id, :grantee)"), {"id": document, "grantee": grantee}
        )


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        text("INSERT OR REPLACE INTO settings VALUES (:name, :value)"),
        {"name": name, "value": value},
    )
