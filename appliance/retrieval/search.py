"""The search of one collection: passages that a caller may read, best first.

Rules:
- The access set acts before anything is scored: an unreadable chunk has no influence.
- One search reads one state of the database, lists of access included.
- The id of a passage and the searched state reveal nothing of other documents.
- The index takes its memory from the budget of all memory before it is made. Models and jobs
  displace it; where it does not fit, the search is refused.
"""

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from appliance.errors import CollectionRefused, StateRefused, Unavailable
from appliance.retrieval import ranking
from appliance.retrieval.access import AccessSet
from appliance.retrieval.collection import OpenCollection, current, readable
from appliance.retrieval.index import EMPTY, ChunkIndex, estimate, exact, renewed
from appliance.retrieval.ranking import Bools, Floats, Ranked
from appliance.retrieval.schema import CHUNKS, DOCUMENTS, VERSIONS
from appliance.retrieval.terms import query_terms
from appliance.types import Passage
from appliance.workers.memory_budget import Budget

MOST_PASSAGES: Final = 100
_MOST_STATES: Final = 1_000
_PLACE: Final = re.compile(r"([0-9a-f]{16}):([0-9]{1,10})-([0-9]{1,10})", re.ASCII)
_AT: Final = (
    "SELECT c.id, c.document FROM versions v JOIN chunks c ON c.version = v.id"
    ' WHERE substr(v.text_sha256, 1, 16) = ? AND c.start = ? AND c."end" = ? ORDER BY c.id'
)
_DEPTH: Final = 100
"""Candidates of each generator that a fusion looks at."""


@dataclass(frozen=True)
class SearchHits:
    """Result of a search.

    Attributes:
        generation: searched state of the collection: counted for a reader of all of it; for others
            a digest of their documents, so that it stays when other documents change.
        documents: number of readable ones.
        readable: digest of these, in this state of the collection.
        nonce: opens the log's commitments to the passages.
        request_id: of the log's entries with the query, where a model embedded it for this search
            only; "" otherwise.
    """

    passages: tuple[Passage, ...]
    generation: int
    ranking: str
    documents: int
    readable: str = ""
    nonce: str = ""
    request_id: str = ""


class Searcher:
    """Searches one collection; callable from several threads at once.

    Args:
        memory: budget of the index; None: no budget.
    """

    def __init__(self, collection: OpenCollection, memory: Budget | None = None) -> None:
        self._collection, self._memory = collection, memory
        self._name = f"index of {collection.path.stem}"
        self._lock = threading.Lock()
        self._index = EMPTY
        self._states: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Bytes of the index now."""
        return self._index.size

    def search(
        self,
        access: AccessSet,
        query: str,
        wanted: int,
        *,
        vector: Floats | None = None,
        filters: Mapping[str, str] | None = None,
        by: str | None = None,
    ) -> SearchHits:
        """The best passages.

        Args:
            vector: of the query, of length 1; needed where vectors rank.
            filters: metadata that documents must have.
            by: bm25, vectors or fusion in place of the collection's own ranking.

        Raises:
            CollectionRefused: `collection_invalid` when the ranking needs a vector and none came.
            Unavailable: `collection_memory`.
        """
        how = by or self._collection.settings.ranking
        with self._collection.reading() as connection:
            index = self._renewed(connection)
            documents = readable(connection, access, filters)
            rows = index.readable(documents)
            ranked = _ranked(connection, index, rows, query, vector, how, wanted)
            passages = tuple(_passage(connection, int(index.ids[n]), s) for n, s in ranked)
            name = f"{self._collection.path.name} {index.generation} ".encode()
            seen = name + documents.tobytes()
            digest = hashlib.sha256(seen).hexdigest()
            state = index.generation if access.all else self._state(connection, documents, digest)
        return SearchHits(passages, state, how, len(documents), digest)

    def passage(self, access: AccessSet, passage_id: str) -> SearchHits | None:
        place = _PLACE.fullmatch(passage_id)
        if place is None:
            return None
        with self._collection.reading() as connection:
            documents = readable(connection, access)
            rows = connection.exec_driver_sql(_AT, (place[1], int(place[2]), int(place[3])))
            found = [chunk for chunk, document in rows if document in documents]
            if not found:
                return None
            passage = _passage(connection, found[0], 0.0)
        return SearchHits((passage,), 0, "id", len(documents))

    def _state(self, connection: Connection, documents: NDArray[np.int64], seen: str) -> int:
        """Independent of other documents.

        Args:
            seen: key of the documents in this generation, under which their state is kept.
        """
        with self._lock:
            if (known := self._states.get(seen)) is not None:
                return known
        hashed = hashlib.sha256()
        for one in current(connection, documents):
            hashed.update(f"{one}\n".encode())
        found = int.from_bytes(hashed.digest()[:6], "big")
        with self._lock:
            if len(self._states) >= _MOST_STATES:
                self._states.clear()
            self._states[seen] = found
        return found

    def forget(self) -> None:
        with self._lock:
            self._forget()

    def _forget_if_idle(self) -> bool:
        """Drop it, unless it is being made."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._index = EMPTY
        finally:
            self._lock.release()
        return True

    def _forget(self) -> None:
        self._index = EMPTY
        if self._memory is not None:
            self._memory.drop(self._name)

    def _renewed(self, connection: Connection) -> ChunkIndex:
        with self._lock:
            if not len(self._index.ids):
                self._take(estimate(connection))
            if (index := renewed(connection, self._index)).generation >= self._index.generation:
                self._index = index
            self._take(index.size)
            return index

    def _take(self, size: int) -> None:
        if self._memory is None:
            return
        try:
            self._memory.cache(self._name, size, self._forget_if_idle)
        except StateRefused as error:
            self._forget()
            raise Unavailable("collection_memory", error.message) from error


def _ranked(
    connection: Connection,
    index: ChunkIndex,
    rows: Bools,
    query: str,
    vector: Floats | None,
    how: str,
    wanted: int,
) -> Ranked:
    words, found = np.zeros(len(rows)), np.zeros(0, np.int64)
    depth = wanted if how != "fusion" else max(wanted, _DEPTH)
    if how in ("bm25", "fusion"):
        postings = [index.postings.of(term) for term in query_terms(query)]
        words = ranking.bm25(postings, index.lengths, rows)
        hits = np.flatnonzero(words)
        by_words = ranking.best(hits, words[hits], index.order, depth)
        if how == "bm25" or not len(index.codes):
            return by_words[:wanted]
        found = np.array(sorted(row for row, _ in by_words), np.int64)
    if vector is None:
        raise CollectionRefused("collection_invalid", "The query has no vector.")
    if not len(index.codes):
        return []
    near = ranking.nearest(index.codes, index.scales, vector, rows, depth)
    every = np.union1d(near, found)
    cosines = ranking.cosines(exact(connection, index.ids[every]), vector)
    by_vectors = ranking.best(near, cosines[np.searchsorted(every, near)], index.order, depth)
    if how == "vectors":
        return by_vectors
    both = np.union1d(np.array([row for row, _ in by_vectors], np.int64), found)
    scores = cosines[np.searchsorted(every, both)]
    return ranking.fused(both, words[both], scores, index.order, wanted)


def _passage(connection: Connection, chunk: int, score: float) -> Passage:
    wanted = (
        select(
            *(CHUNKS.c[name] for name in ("start", "end", "page", "heading", "sha256")),
            CHUNKS.c.body.label("text"),
            VERSIONS.c.number.label("version"),
            VERSIONS.c.title,
            VERSIONS.c.text_sha256,
            DOCUMENTS.c.name.label("document"),
        )
        .join(VERSIONS, VERSIONS.c.id == CHUNKS.c.version)
        .join(DOCUMENTS, DOCUMENTS.c.id == CHUNKS.c.document)
        .where(CHUNKS.c.id == chunk)
    )
    row = connection.execute(wanted).mappings().one()
    span = f"{row['text_sha256'][:16]}:{row['start']}-{row['end']}"
    return Passage(id=span, score=score, **row)
