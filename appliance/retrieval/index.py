"""The chunks of a collection in memory: numbers only, for one generation of it.

Rules: made from the database alone and thrown away at will; chunks that are already there are not
read again; a document that was removed leaves nothing behind once the next state is made.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from appliance.retrieval.collection import generation
from appliance.retrieval.ranking import Bools, Floats, Ints


@dataclass(frozen=True)
class Index:
    """The chunks that can be found, one a row, by rising id.

    Attributes:
        ids, documents, lengths: of each row; the length counts words.
        order: place of each row by document name and position.
        vectors: one a row, or no row at all without an embedder.
    """

    generation: int
    ids: Ints
    documents: Ints
    lengths: Ints
    order: Ints
    vectors: Floats

    def readable(self, documents: list[int]) -> Bools:
        """Which rows belong to these documents."""
        return np.isin(self.documents, np.array(documents, np.int64))

    def postings(self, connection: Connection, term: str) -> tuple[Ints, Ints]:
        """The rows that have a term, and how often."""
        found = connection.exec_driver_sql(
            "SELECT doc, count(*) FROM postings WHERE term = ? GROUP BY doc", (term,)
        ).fetchall()
        pairs = np.array([tuple(row) for row in found], np.int64).reshape(-1, 2)
        return np.searchsorted(self.ids, pairs[:, 0]), pairs[:, 1]


EMPTY = Index(
    0,
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros((0, 0), np.float32),
)


def renewed(connection: Connection, before: Index) -> Index:
    """The index of the state that a connection reads.

    Args:
        before: an index of an earlier state.
    """
    now = generation(connection)
    if before.generation == now:
        return before
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
    )


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
