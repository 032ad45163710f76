"""Candidates from indexes and spans. They propose; bodies decide.

Rules: SQL is put together of names of columns only, at import; values are always bound.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from appliance.audit.segments import Log

_COLUMNS: Final = ("kind", "request_id", "key_id", "model", "app", "code")
_UNFILED: Final = "json_extract(CAST(body AS TEXT), '$.end_user')"
"""Has no index: earlier releases, which people go back to, verify the tables, too."""
_CANDIDATES: Final = {
    (column, down): f"SELECT seq FROM leaf WHERE {condition} "  # noqa: S608 - names from here
    f"AND seq >= ? AND seq <= ? ORDER BY seq{' DESC' if down else ''}"
    for column, condition in [
        ("", "? = ''"),
        ("end_user", f"{_UNFILED} = ?"),
        *((c, f"{c} = ?") for c in _COLUMNS),
    ]
    for down in (False, True)
}
_SPAN_NEAR: Final = {
    down: f"SELECT block FROM span WHERE block {'<=' if down else '>='} ? "  # noqa: S608 - the same
    "AND (? IS NULL OR high_us >= ?) AND (? IS NULL OR low_us < ?) "
    f"ORDER BY block{' DESC' if down else ''} LIMIT 1"
    for down in (False, True)
}


def candidates(
    log: Log, column: str, value: str, first: int, last: int, *, down: bool
) -> Iterator[tuple[int]]:
    """Numbers of the entries first ≤ seq ≤ last that an index files under a value, in order.

    Args:
        column: one of the query columns; empty for all entries.
    """
    parts = log.backwards(last + 1, first) if down else log.within(first, last + 1)
    return chain.from_iterable(
        dbapi.execute(_CANDIDATES[column, down], (value, low, high - 1))
        for dbapi, low, high in parts
    )


def spans(log: Log) -> int:
    """Number of blocks of `SPAN` entries that have a span; later blocks have none yet."""
    sql = "SELECT coalesce(max(block) + 1, 0) FROM span"
    return int(log.newest.dbapi.execute(sql).fetchone()[0])


def span_near(
    log: Log, block: int, times: tuple[int | None, int | None], *, down: bool
) -> int | None:
    """The nearest block from this one on in which since ≤ time < until may hold."""
    since, until = times
    values = (block, since, since, until, until)
    row = log.newest.dbapi.execute(_SPAN_NEAR[down], values).fetchone()
    return None if row is None else int(row[0])
