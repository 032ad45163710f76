"""Merkle trees of RFC 6962 (section 2.1): hashes, the growing edge, proofs and their checks. Pure.

A tree is given as `Subtree`, a function that returns the root of a complete, aligned subtree. Inner
nodes at every eighth level are stored, as in tlog-tiles. Verification follows RFC 9162, sections
2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

Subtree: TypeAlias = Callable[[int, int], bytes]
"""(level, index) → root of the leaves [index·2^level, (index+1)·2^level)."""

HASH_BYTES: Final = 32
TILE_LEVELS: Final = 8
_TILE_MASK: Final = (1 << TILE_LEVELS) - 1
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 ‖ body)."""
    return sha256(b"\0" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """The growing edge of a tree; `size` counts its leaves."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)  # complete subtrees, the widest first

    @classmethod
    def at(cls, size: int, subtree: Subtree) -> "Frontier":
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return cls(size, [subtree(level, (size >> level) - 1) for level in levels])

    def peaks(self) -> list[bytes]:
        """Roots of the complete subtrees, the widest first."""
        return list(self._peaks)

    def copy(self) -> "Frontier":
        return Frontier(self.size, self._peaks)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; the completed inner nodes (level, index, hash) at levels 8, 16, …."""
        bits, peaks = self.size, self._peaks
        self.size = bits + 1
        if self.size & _TILE_MASK:
            while bits & 1:
                leaf = sha256(b"\1" + peaks.pop() + leaf).digest()
                bits >>= 1
            peaks.append(leaf)
            return []
        return self._append_tile(bits, leaf)

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
        """Add leaf hashes level by level; returns what `append` returns for each of them."""
        nodes, complete, peaks = list(leaves), [], []
        start, level = self.size, 0
        self.size += len(nodes)
        while nodes:
            if level and level % TILE_LEVELS == 0:
                complete += [(level, start + n, node) for n, node in enumerate(nodes)]
            if start & 1:
                nodes.insert(0, self._peaks.pop())
                start -= 1
            if len(nodes) & 1:
                peaks.append(nodes.pop())
            nodes = [sha256(b"\1" + nodes[n] + nodes[n + 1]).digest()
                     for n in range(0, len(nodes), 2)]  # fmt: skip
            start, level = start >> 1, level + 1
        self._peaks += reversed(peaks)
        return complete

    def _append_tile(self, bits: int, node: bytes) -> list[tuple[int, int, bytes]]:
        level, complete = 0, []
        while bits & 1:
            node = node_hash(self._peaks.pop(), node)
            bits >>= 1
            level += 1
            if level % TILE_LEVELS == 0:
                complete.append((level, (self.size >> level) - 1, node))
        self._peaks.append(node)
        return complete

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for left in reversed(self._peaks[:-1]):
            node = node_hash(left, node)
        return node


def fold(nodes: Sequence[bytes]) -> bytes:
    """Root of a complete subtree from one level of its nodes (a power of two of them)."""
    while len(nodes) > 1:
        nodes = [node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return nodes[0]


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]), index < size: sibling hashes, from the leaf's to the root's child."""
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_root(middle, high, subtree))
            high = middle
        else:
            path.append(_range_root(low, middle, subtree))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]) for 0 < old ≤ new."""
    low, high, path, whole = 0, new, [], True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range_root(middle, high, subtree))
            high = middle
        else:
            path.append(_range_root(low, middle, subtree))
            low, whole = middle, False
    if not whole:
        path.append(_range_root(low, high, subtree))
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """True if the path proves that `leaf` is at `index` in the tree with this root."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """True if the path proves that the new tree begins with all leaves of the old one."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second = node_hash(second, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def _range_root(low: int, high: int, subtree: Subtree) -> bytes:
    """MTH(D[low:high]) for a range that RFC 6962's splitting yields."""
    width = high - low
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return subtree(level, low >> level)
    middle = low + _split(width)
    return node_hash(_range_root(low, middle, subtree), _range_root(middle, high, subtree))
