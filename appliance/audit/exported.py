"""Contents of an exported copy of the log, computed from its bodies.

Rules: nothing in the copy is believed; results are compared with the log itself. A copy of a log
whose beginning was pruned continues from the nodes in `start`, which the root binds.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.audit.export import TILE, tile_path
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.errors import AuditRefused

_MOST_DIGITS: Final = 16


@dataclass(frozen=True)
class Copy:
    """A part of a copy.

    Attributes:
        first: the first body in it.
        root: hex root of the tree of the entries up to the end of the part.
    """

    first: int
    root: str


def copied(place: Path, size: int) -> Copy:
    """The first `size` entries of a tiles export. Raises AuditRefused (`export_invalid`)."""
    try:
        tree = _start(place)
        first = tree.size
        for number in range(first // TILE, -(-size // TILE)):
            for body in _bundle(place, number):
                if tree.size < size:
                    tree.append(leaf_hash(body))
        if tree.size == size:
            return Copy(first, tree.root().hex())
    except (OSError, ValueError):
        pass
    message = f"{place} does not hold the first {size} entries of a log."
    raise AuditRefused("export_invalid", message)


def _start(place: Path) -> Frontier:
    path = place / "start"
    if not path.exists():
        return Frontier()
    first, *peaks = path.read_text(encoding="ascii").split()
    size, nodes = int(first[:_MOST_DIGITS]), [base64.b64decode(node) for node in peaks]
    if len(nodes) != size.bit_count() or size % TILE:
        raise ValueError("its beginning is malformed")
    return Frontier(size, nodes)


def _tile(place: Path, number: int) -> bytes:
    path = place / tile_path(number, TILE)
    if path.exists():
        return path.read_bytes()
    partial = path.with_name(path.name + ".p")
    return max(partial.iterdir(), key=lambda p: int(p.name)).read_bytes()


def _bundle(place: Path, number: int) -> Iterator[bytes]:
    data, at = _tile(place / "tile" / "entries", number), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + length]
        at += 2 + length
