"""The chunks of a collection in memory: numbers only, for one generation of it.

Rules: made from the database alone and thrown away at will; chunks that are already there are not
read again; a document that was removed leaves nothing behind once the next state is made.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sqlalchemy import Connection

from appliance.retrieval.collection import generation
from appliance.retrieval.postings import NONE, Postings, stored, written
from appliance.retrieval.ranking import Bools, Floats, Ints

_FEW: Final = 2_000
"""New chunks whose terms are read from their texts; for more, the stored index is read."""


@dataclass(frozen=True)
class Index:
    """The chunks that can be found, one a row, by rising id.

    Attributes:
        ids, documents, lengths: of each row; the length counts words.
        order: place of each row by document name and position.
        vectors: one a row, or no row at all without an embedder.
        postings: the rows of each term.
    """

    generation: int
    ids: Ints
    documents: Ints
    lengths: Ints
    order: Ints
    vectors: Floats
    postings: Postings

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
    np.zeros((0, 0), np.float32),
    NONE,
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
    rows = connection.exec_driver_sql(
        "SELECT c.id, c.document, c.words, d.name, c.start FROM chunks c"
        " JOIN documents d ON d.id = c.document ORDER BY c.id"
    ).fetchall()
    ids = np.array([row[0] for row in rows], np.int64)
    places = sorted(range(len(rows)), key=lambda n: (rows[n][3], rows[n][4]))
    order = np.zeros(len(rows), np.int64)
    order[places] = np.arange(len(rows))
    return Index(
        now,
        ids,
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        order,
        _vectors(connection, before, ids),
        _postings(connection, before, ids),
    )


def _postings(connection: Connection, before: Index, ids: Ints) -> Postings:
    """The postings of these chunks; those that are known are kept, and few new ones are added."""
    last = int(before.ids[-1]) if len(before.ids) else 0
    fresh = ids[ids > last]
    if not len(before.ids) or len(fresh) > _FEW:
        return stored(connection, ids)
    kept = np.isin(before.ids, ids)
    found = before.postings if kept.all() else before.postings.without(kept)
    if not len(fresh):
        return found
    rows = connection.exec_driver_sql("SELECT id, body FROM chunks WHERE id > ?", (last,))
    texts = ((int(row[0]), str(row[1])) for row in rows)
    return found.plus(written(texts, fresh), int(kept.sum()))


def _vectors(connection: Connection, before: Index, ids: Ints) -> Floats:
    """The vectors of these chunks; those that are known are copied."""
    last = int(before.ids[-1]) if len(before.ids) and len(before.vectors) else 0
    rows = connection.exec_driver_sql(
        "SELECT chunk, vector FROM vectors WHERE chunk > ? ORDER BY chunk", (last,)
    ).fetchall()
    kept = before.vectors[np.isin(before.ids, ids)] if len(before.vectors) else before.vectors
    if not rows:
        return kept
    fresh = np.frombuffer(b"".join(bytes(row[1]) for row in rows), "<f4").reshape(len(rows), -1)
    return np.concatenate([kept, fresh]) if len(kept) else np.array(fresh)
