"""Pairs of sets that are probably alike, without comparing each with each.

Rules: signatures have `BANDS` times `ROWS` minima of hashes; the hashes are fixed, so that the same
sets give the same candidates; the number of examined pairs is bounded and reported.
Source: Broder, SEQUENCES 1997; Indyk & Motwani, STOC 1998.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
ROWS: Final = 3
BANDS: Final = 48
MARK_BANDS: Final = 24
MARK_ROWS: Final = 5
MOST_PAIRS: Final = 50_000_000
"""Pairs that are looked at; when there are more, the answer says that it is incomplete."""
_BLOCK: Final = 1 << 16
_SEED: Final = 20


def candidates(
    sets: Sequence[Hashes], apart: NDArray[np.bool_], least: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """Pairs that share a band and whose signatures agree in at least the share `least`.

    Args:
        apart: two sets that both are `apart` are no pair.

    Returns:
        Pairs as `first * len(sets) + second`, shares, and whether all were examined.
    """
    seen = np.empty(0, dtype=np.int64)
    estimates = np.empty(0)
    if len(sets) < 2 or bool(apart.all()):
        return seen, estimates, True
    rows = _signatures(sets)
    complete = True
    for band in range(BANDS):
        part = np.ascontiguousarray(rows[:, band * ROWS : (band + 1) * ROWS])
        shared, whole = _sharing(part, apart, MOST_PAIRS - len(seen))
        fresh = np.setdiff1d(shared, seen, assume_unique=True)
        share = _agreement(rows, fresh)
        seen, order = np.unique(np.concatenate([seen, fresh]), return_index=True)
        estimates = np.concatenate([estimates, share])[order]
        complete = complete and whole
    near = estimates >= least
    return seen[near], estimates[near], complete


def _sharing(
    part: NDArray[np.uint32], apart: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.int64], bool]:
    """Pairs of rows equal in a band, and whether all."""
    count = len(part)
    keys = part.view([("", part.dtype)] * part.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    found = [np.empty(0, dtype=np.int64)]
    whole = True
    for start, end in zip(edges, np.append(edges[1:], count), strict=True):
        size = int(end - start)
        if size < 2:
            continue
        if size * (size - 1) // 2 > most:
            whole = False
            continue
        most -= size * (size - 1) // 2
        members = np.sort(order[start:end]).astype(np.int64)
        left, right = np.triu_indices(size, 1)
        codes = members[left] * count + members[right]
        found.append(codes[~(apart[members[left]] & apart[members[right]])])
    return np.sort(np.concatenate(found)), whole


def _agreement(rows: NDArray[np.uint32], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.empty(len(codes))
    for start in range(0, len(codes), _BLOCK):
        left, right = np.divmod(codes[start : start + _BLOCK], len(rows))
        shares[start : start + _BLOCK] = (rows[left] == rows[right]).mean(axis=1)
    return shares


def _mixed(x: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _signatures(sets: Sequence[Hashes]) -> NDArray[np.uint32]:
    random = np.random.Generator(np.random.PCG64(_SEED))
    width = BANDS * ROWS
    odd = random.integers(0, 1 << 63, width, dtype=np.uint64) << np.uint64(1) | np.uint64(1)
    shift = random.integers(0, 1 << 63, width, dtype=np.uint64)
    rows = np.empty((len(sets), width), dtype=np.uint32)
    for index, found in enumerate(sets):
        hashed = _mixed(found)[:, None] * odd + shift
        rows[index] = (hashed >> np.uint64(32)).min(axis=0).astype(np.uint32)
    return rows


def bands(found: Hashes) -> list[bytes]:
    """Twenty-four bands of five minima each, as bytes; none of an empty set.

    Two sets of similarity s share a band with probability s to the power of five.
    """
    if not len(found):
        return []
    row = _signatures([found])[0, : MARK_BANDS * MARK_ROWS].reshape(MARK_BANDS, MARK_ROWS)
    return [bytes([number]) + part.tobytes() for number, part in enumerate(row)]
