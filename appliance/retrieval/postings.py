"""The rows of each term, with counts: the full-text index of a collection, in memory.

Rules: made by SQLite's tokeniser, and never on the disk, where it would show the words; rows rise
within a term. Numbers only: eight bytes for a term in a row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pysqlite3.dbapi2
from numpy.typing import NDArray

from appliance.retrieval.ranking import Bools, Ints
from appliance.retrieval.terms import TOKENIZER

_SLICE: Final = 5_000
"""Terms whose occurrences are read at once."""
_TERM_BYTES: Final = 150
"""Of a term: its text, its number, and their place in a table."""
_MUCH: Final = 8
"""Share of all occurrences that the newer ones may be, as its reciprocal."""
_OCCURRENCES: Final = "SELECT term, group_concat(doc) FROM v GROUP BY term"


@dataclass(frozen=True)
class Postings:
    """The terms of some rows.

    Attributes:
        terms: number of each term.
        starts: beginnings of each term's rows, and one more for the end.
        rows, often: of all terms, one after the other.
    """

    terms: Mapping[str, int]
    starts: Ints
    rows: NDArray[np.int32]
    often: NDArray[np.int32]

    @property
    def size(self) -> int:
        arrays = self.starts.nbytes + self.rows.nbytes + self.often.nbytes
        return arrays + len(self.terms) * _TERM_BYTES

    def of(self, term: str) -> tuple[Ints, Ints]:
        number = self.terms.get(term)
        if number is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        here = slice(self.starts[number], self.starts[number + 1])
        return self.rows[here].astype(np.int64), self.often[here].astype(np.int64)

    def without(self, kept: Bools) -> "Postings":
        """Kept rows only, numbered again without gaps."""
        renumbered = np.cumsum(kept, dtype=np.int32) - 1
        stays = kept[self.rows]
        before = np.concatenate(([0], np.cumsum(stays)))
        return Postings(
            self.terms,
            before[self.starts],
            renumbered[self.rows[stays]].astype(np.int32),
            self.often[stays],
        )

    def plus(self, more: "Postings", first: int) -> "Postings":
        """Rows of `more` come after all others, from `first` on."""
        terms = dict(self.terms)
        number = np.array([terms.setdefault(term, len(terms)) for term in more.terms], np.int64)
        old = np.zeros(len(terms), np.int64)
        old[: len(self.terms)] = np.diff(self.starts)
        new = np.zeros(len(terms), np.int64)
        new[number] = np.diff(more.starts)
        starts = np.concatenate(([0], np.cumsum(old + new)))
        rows = np.empty(int(starts[-1]), np.int32)
        often = np.empty(int(starts[-1]), np.int32)
        own = np.arange(len(self.rows)) + np.repeat(
            starts[: len(self.terms)] - self.starts[:-1], np.diff(self.starts)
        )
        rows[own], often[own] = self.rows, self.often
        added = np.arange(len(more.rows)) + np.repeat(
            starts[number] + old[number] - more.starts[:-1], np.diff(more.starts)
        )
        rows[added], often[added] = more.rows + np.int32(first), more.often
        return Postings(terms, starts, rows, often)


NONE: Final = Postings({}, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True)
class Layered:
    """Postings of many rows, and next to them those of the few newer ones.

    Attributes:
        newer: of the rows from `first` on, numbered from 0.
    """

    older: Postings
    newer: Postings
    first: int

    @property
    def size(self) -> int:
        return self.older.size + self.newer.size

    def of(self, term: str) -> tuple[Ints, Ints]:
        rows, often = self.older.of(term)
        late, late_often = self.newer.of(term)
        if not len(late):
            return rows, often
        return np.concatenate([rows, late + self.first]), np.concatenate([often, late_often])

    def without(self, kept: Bools) -> "Layered":
        old, new = kept[: self.first], kept[self.first :]
        return Layered(
            self.older if old.all() else self.older.without(old),
            self.newer if new.all() else self.newer.without(new),
            int(old.sum()),
        )

    def plus(self, more: Postings, count: int, added: int) -> "Layered":
        """Many new rows are joined to the rest.

        Args:
            count, added: rows without `more`, and in it.
        """
        newer = self.newer.plus(more, count - self.first)
        if len(newer.rows) * _MUCH < len(self.older.rows):
            return Layered(self.older, newer, self.first)
        return Layered(self.older.plus(newer, self.first), NONE, count + added)


def written(texts: Iterable[tuple[int, str]], ids: Ints) -> Postings:
    """The postings of chunks.

    Args:
        texts: id and text of each.
        ids: of the chunks, one a row, rising.
    """
    connection = pysqlite3.dbapi2.connect(":memory:")
    try:
        connection.execute(
            f"CREATE VIRTUAL TABLE t USING fts5(body, content='', tokenize='{TOKENIZER}')"
        )
        connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
        connection.executemany("INSERT INTO t (rowid, body) VALUES (?, ?)", texts)
        return _read(connection.execute(_OCCURRENCES), ids)
    finally:
        connection.close()


def _read(cursor: Any, ids: Ints) -> Postings:
    terms: dict[str, int] = {}
    starts: list[Ints] = [np.zeros(1, np.int64)]
    rows: list[NDArray[np.int32]] = []
    often: list[NDArray[np.int32]] = []
    end = 0
    while found := cursor.fetchmany(_SLICE):
        for term, _ in found:
            terms[str(term)] = len(terms)
        chunks = np.fromstring(",".join(docs for _, docs in found), np.int64, sep=",")
        lengths = np.array([docs.count(",") + 1 for _, docs in found], np.int64)
        owner = np.repeat(np.arange(len(found)), lengths)
        begins = np.flatnonzero(
            np.concatenate(([True], (np.diff(chunks) != 0) | (np.diff(owner) != 0)))
        )
        rows.append(np.searchsorted(ids, chunks[begins]).astype(np.int32))
        often.append(np.diff(np.append(begins, len(chunks))).astype(np.int32))
        ends = end + np.cumsum(np.bincount(owner[begins], minlength=len(found)))
        starts.append(ends)
        end = int(ends[-1])
    if not terms:
        return NONE
    return Postings(terms, np.concatenate(starts), np.concatenate(rows), np.concatenate(often))
