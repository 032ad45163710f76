"""The chunks of a collection in memory: numbers only, for one generation of it.

Rules: made from the database only and disposable; known chunks are not read again; a removed
document leaves nothing behind once the next state is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection

from appliance.db import sealed_columns
from appliance.retrieval.collection import generation
from appliance.retrieval.postings import NONE, Layered, written
from appliance.retrieval.ranking import Bools, Codes, Floats, Ints, quantised
from appliance.retrieval.schema import CHUNKS, VECTORS

_SLICE: Final = 4_096
"""Vectors that are read at once."""
_CHUNK_BYTES: Final = 48
_WORD_BYTES: Final = 16
"""Of a word of a chunk while the index is made; half of that remains."""


@dataclass(frozen=True)
class ChunkIndex:
    """The searchable chunks, one a row, by rising id.

    Attributes:
        ids, documents, lengths: of each row; the length counts words.
        order: rank of each row by document name and position.
        codes, scales: of the vector of each row, by `ranking.quantised`; no row at all without an
            embedder.
    """

    generation: int
    ids: Ints
    documents: Ints
    lengths: Ints
    starts: Ints
    order: Ints
    codes: Codes
    scales: Floats
    postings: Layered

    @property
    def size(self) -> int:
        arrays = (self.ids, self.documents, self.lengths, self.starts, self.order, self.codes)
        return sum(array.nbytes for array in (*arrays, self.scales)) + self.postings.size

    def readable(self, documents: Ints) -> Bools:
        """The rows of these documents."""
        among = np.zeros(int(self.documents.max(initial=0)) + 1, np.bool_)
        among[documents[documents < len(among)]] = True
        return np.asarray(among[self.documents])


EMPTY = ChunkIndex(
    0,
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros((0, 0), np.int8),
    np.zeros(0, np.float32),
    Layered(NONE, NONE, 0),
)


def renewed(connection: Connection, before: ChunkIndex) -> ChunkIndex:
    """The index of a state, made from an earlier one."""
    now = generation(connection)
    if before.generation == now:
        return before
    count, last = connection.exec_driver_sql("SELECT count(*), max(id) FROM chunks").one()
    if count and count == len(before.ids) and last == before.ids[-1]:
        return replace(before, generation=now)  # no chunk came or went: access lists changed
    last = int(before.ids[-1]) if len(before.ids) else 0
    ids = _numbers(connection, "chunks", "id")
    kept = np.isin(before.ids, ids)
    fresh = ids[ids > last]
    facts = _facts(connection, last)
    documents = np.concatenate([before.documents[kept], facts[0]])
    starts = np.concatenate([before.starts[kept], facts[2]])
    by_name = _numbers(connection, "documents", "name")
    place = np.zeros(int(by_name.max(initial=0)) + 1, np.int64)
    place[by_name] = np.arange(len(by_name))
    order = np.zeros(len(ids), np.int64)
    order[np.lexsort((starts, place[documents]))] = np.arange(len(ids))
    return ChunkIndex(
        now,
        ids,
        documents,
        np.concatenate([before.lengths[kept], facts[1]]),
        starts,
        order,
        *_vectors(connection, before, kept),
        _postings(connection, before, kept, ids, fresh),
    )


def _numbers(connection: Connection, table: str, order: str) -> Ints:
    """All ids of a table, in one text: rows one by one take ten times as long."""
    joined = f"SELECT group_concat(id ORDER BY {order}) FROM {table}"  # noqa: S608
    found = connection.exec_driver_sql(joined).scalar()
    return np.fromstring(str(found), np.int64, sep=",") if found else np.zeros(0, np.int64)


def _facts(connection: Connection, after: int) -> Ints:
    rows = connection.exec_driver_sql(
        "SELECT document, words, start FROM chunks WHERE id > ? ORDER BY id", (after,)
    ).fetchall()
    return np.array([tuple(row) for row in rows], np.int64).reshape(-1, 3).T


def _postings(
    connection: Connection, before: ChunkIndex, kept: Bools, ids: Ints, fresh: Ints
) -> Layered:
    if kept.all():
        found = before.postings
    else:
        found = before.postings.without(kept) if kept.any() else EMPTY.postings
    if not len(fresh):
        return found
    wanted = sealed_columns("SELECT id, body FROM chunks WHERE id >= :first", *CHUNKS.c)
    rows = connection.execute(wanted, {"first": int(fresh[0])})
    texts = ((int(row[0]), str(row[1])) for row in rows)
    return found.plus(written(texts, fresh), int(kept.sum()), len(fresh))


def _vectors(connection: Connection, before: ChunkIndex, kept: Bools) -> tuple[Codes, Floats]:
    """In 8 bits; known ones are copied."""
    last = int(before.ids[-1]) if len(before.ids) and len(before.codes) else 0
    codes, scales = [before.codes], [before.scales]
    if len(before.codes) and not kept.all():
        codes, scales = [before.codes[kept]], [before.scales[kept]]
    wanted = "SELECT vector FROM vectors WHERE chunk > :last ORDER BY chunk"
    read = connection.execute(sealed_columns(wanted, *VECTORS.c), {"last": last})
    while rows := read.fetchmany(_SLICE):
        some = quantised(_floats(rows))
        codes.append(some[0])
        scales.append(some[1])
    codes = [some for some in codes if len(some)] or codes  # an empty one has no width
    return np.concatenate(codes), np.concatenate(scales)


def exact(connection: Connection, ids: Ints) -> Floats:
    """Stored vectors of some chunks, by rising id."""
    if not len(ids):
        return np.zeros((0, 0), np.float32)
    wanted = ",".join(map(str, ids.tolist()))
    sql = f"SELECT vector FROM vectors WHERE chunk IN ({wanted}) ORDER BY chunk"  # noqa: S608
    return _floats(connection.execute(sealed_columns(sql, *VECTORS.c)).fetchall())


def _floats(rows: Sequence[Any]) -> Floats:
    return np.frombuffer(b"".join(row[0] for row in rows), "<f4").reshape(len(rows), -1)


def estimate(connection: Connection) -> int:
    """Bytes while it is made."""
    chunks = connection.exec_driver_sql("SELECT count(*) FROM chunks").scalar_one()
    words = connection.exec_driver_sql(
        "SELECT avg(words) FROM (SELECT words FROM chunks LIMIT 1000)"
    ).scalar()
    width = connection.exec_driver_sql("SELECT length(vector) FROM vectors LIMIT 1").scalar()
    each = _CHUNK_BYTES + int(words or 0) * _WORD_BYTES + int(width or 0) // 4
    return int(chunks) * each
