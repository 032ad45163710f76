"""The chunks of a collection in memory: numbers only, for one generation of it.

Rules: made from the database alone and thrown away at will; chunks that are already there are not
read again; a document that was removed leaves nothing behind once the next state is made.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sqlalchemy import Connection

from appliance.retrieval.collection import generation
from appliance.retrieval.postings import NONE, Layered, stored, written
from appliance.retrieval.ranking import Bools, Floats, Ints

_FEW: Final = 2_000
"""New chunks whose terms are read from their texts; for more, the stored index is read."""


@dataclass(frozen=True)
class Index:
    """The chunks that can be found, one a row, by rising id.

    Attributes:
        ids, documents, lengths: of each row; the length counts words.
        starts: where each row begins in its text.
        order: place of each row by document name and position.
        vectors: one a row, or no row at all without an embedder.
        postings: the rows of each term.
    """

    generation: int
    ids: Ints
    documents: Ints
    lengths: Ints
    starts: Ints
    order: Ints
    vectors: Floats
    postings: Layered

    def readable(self, documents: list[int]) -> Bools:
        """Which rows belong to these documents."""
        among = np.zeros(int(self.documents.max(initial=0)) + 1, np.bool_)
        known = np.array(documents, np.int64)
        among[known[known < len(among)]] = True
        return np.asarray(among[self.documents])


EMPTY = Index(
    0,
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros((0, 0), np.float32),
    Layered(NONE, NONE, 0),
)


def renewed(connection: Connection, before: Index) -> Index:
    """The index of the state that a connection reads.

    Args:
        before: an index of an earlier state.
    """
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
    return Index(
        now,
        ids,
        documents,
        np.concatenate([before.lengths[kept], facts[1]]),
        starts,
        order,
        _vectors(connection, before, kept),
        _postings(connection, before, kept, ids, fresh),
    )


def _numbers(connection: Connection, table: str, order: str) -> Ints:
    """All ids of a table, in one text: rows one by one take ten times as long."""
    joined = f"SELECT group_concat(id ORDER BY {order}) FROM {table}"  # noqa: S608
    found = connection.exec_driver_sql(joined).scalar()
    return np.fromstring(str(found), np.int64, sep=",") if found else np.zeros(0, np.int64)


def _facts(connection: Connection, after: int) -> Ints:
    """Document, words and start of the chunks beyond an id, one a column."""
    rows = connection.exec_driver_sql(
        "SELECT document, words, start FROM chunks WHERE id > ? ORDER BY id", (after,)
    ).fetchall()
    return np.array([tuple(row) for row in rows], np.int64).reshape(-1, 3).T


def _postings(
    connection: Connection, before: Index, kept: Bools, ids: Ints, fresh: Ints
) -> Layered:
    """The postings of these chunks; those that are known are kept, and few new ones are added."""
    if not kept.any() or len(fresh) > _FEW:
        return Layered(stored(connection, ids), NONE, len(ids))
    found = before.postings if kept.all() else before.postings.without(kept)
    if not len(fresh):
        return found
    rows = connection.exec_driver_sql("SELECT id, body FROM chunks WHERE id >= ?", (int(fresh[0]),))
    texts = ((int(row[0]), str(row[1])) for row in rows)
    return found.plus(written(texts, fresh), int(kept.sum()), len(fresh))


def _vectors(connection: Connection, before: Index, kept: Bools) -> Floats:
    """The vectors of these chunks; those that are known are copied."""
    last = int(before.ids[-1]) if len(before.ids) and len(before.vectors) else 0
    rows = connection.exec_driver_sql(
        "SELECT chunk, vector FROM vectors WHERE chunk > ? ORDER BY chunk", (last,)
    ).fetchall()
    known = before.vectors
    if len(known) and not kept.all():
        known = known[kept]
    if not rows:
        return known
    fresh = np.frombuffer(b"".join(bytes(row[1]) for row in rows), "<f4").reshape(len(rows), -1)
    return np.concatenate([known, fresh]) if len(known) else np.array(fresh)
