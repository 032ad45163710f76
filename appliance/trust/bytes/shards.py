"""Digests of the shards of a file, as OMS's `shards` serialisation states them.

Rules: the last shard is never empty, so such a signature cannot cover an empty file.

Source: ossf/model-signing-spec v1.0, serialization method `shards`.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

MAX_SHARDS: Final = 1 << 16


class Shard(NamedTuple):
    """One shard: bytes `start` to `end` (excluded) and their hex SHA-256."""

    start: int
    end: int
    digest: str


def statement(shards: Sequence[Shard]) -> str:
    """All shards of a file as one comparable text."""
    return " ".join(f"{shard.start}:{shard.end}:{shard.digest}" for shard in shards)


class ShardDigests:
    """Takes a file block by block and hashes its shards of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        self._digest = hashlib.sha256()
        self._done: list[Shard] = []

    def update(self, block: memoryview) -> None:
        while block:
            room = self._size - self._at % self._size
            self._digest.update(block[:room])
            self._at += len(block[:room])
            block = block[room:]
            if self._at % self._size == 0:
                self._end()

    def _end(self) -> None:
        start = self._done[-1].end if self._done else 0
        self._done.append(Shard(start, self._at, self._digest.hexdigest()))
        self._digest = hashlib.sha256()

    def finish(self) -> tuple[Shard, ...]:
        if self._at % self._size:
            self._end()
        return tuple(self._done)
