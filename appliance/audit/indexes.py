"""What indexes and spans say about where entries may be. They propose; bodies decide.

Rules: SQL is put together here from names of columns alone, at import; values are always bound.
"""

from collections.abc import Iterator
from typing import Any, Final

_COLUMNS: Final = ("kind", "request_id", "key_id", "model", "app", "code")
_CANDIDATES: Final = {
    (column, down): f"SELECT seq FROM leaf WHERE {condition} "  # noqa: S608 - names from here
    f"AND seq >= ? AND seq <= ? ORDER BY seq{' DESC' if down else ''}"
    for column, condition in [("", "? = ''"), *((c, f"{c} = ?") for c in _COLUMNS)]
    for down in (False, True)
}
_SPAN_NEAR: Final = {
    down: f"SELECT block FROM span WHERE block {'<=' if down else '>='} ? "  # noqa: S608 - the same
    "AND (? IS NULL OR high_us >= ?) AND (? IS NULL OR low_us < ?) "
    f"ORDER BY block{' DESC' if down else ''} LIMIT 1"
    for down in (False, True)
}


def candidates(
    dbapi: Any, column: str, value: str, first: int, last: int, *, down: bool
) -> Iterator[tuple[int]]:
    """Numbers of the entries first ≤ seq ≤ last that an index files under a value, in order.

    Args:
        column: one of the query columns; empty for all entries.
    """
    return iter(dbapi.execute(_CANDIDATES[column, down], (value, first, last)))


def spans(dbapi: Any) -> int:
    """How many blocks of `SPAN` entries have a span; those after them have none yet."""
    return int(dbapi.execute("SELECT coalesce(max(block) + 1, 0) FROM span").fetchone()[0])


def span_near(
    dbapi: Any, block: int, times: tuple[int | None, int | None], *, down: bool
) -> int | None:
    """The nearest block from this one on in which since ≤ time < until may hold."""
    since, until = times
    values = (block, since, since, until, until)
    row = dbapi.execute(_SPAN_NEAR[down], values).fetchone()
    return None if row is None else int(row[0])
