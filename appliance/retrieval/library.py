"""All collections of an appliance, open at once.

Rules: a collection is a file `NAME.db` in one directory and part of every backup; its name is
plain; a collection in which a caller may read nothing does not exist for that caller.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import CollectionRefused, NotFound
from appliance.retrieval.access import AccessSet
from appliance.retrieval.collection import RANKINGS, OpenCollection, Settings, readable
from appliance.retrieval.search import Searcher
from appliance.workers.memory_budget import Budget

DIRECTORY: Final = "collections"
MOST_COLLECTIONS: Final = 1_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Shelf:
    """One open collection."""

    name: str
    collection: OpenCollection
    searcher: Searcher

    def remove(self, documents: Sequence[str]) -> None:
        try:
            self.collection.remove(documents)
        finally:
            self.searcher.forget()


class CollectionLibrary:
    """Methods block and may run in any thread.

    Args:
        memory: budget of the indexes; None: no budget.
    """

    def __init__(self, directory: Path, memory: Budget | None = None) -> None:
        self._directory, self._memory = directory, memory
        self._lock = threading.Lock()
        self._open: dict[str, Shelf] = {}

    def names(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        return sorted(p.stem for p in self._directory.glob("*.db") if _NAME.fullmatch(p.stem))

    def check_new(self, name: str, settings: Settings) -> None:
        """Refuse impossible settings.

        Raises:
            CollectionRefused: `collection_invalid`, `collection_exists`.
        """
        if not _NAME.fullmatch(name):
            raise CollectionRefused("collection_invalid", f"{name[:80]!r} cannot be its name.")
        by = settings.ranking
        if by not in RANKINGS or (by != "bm25" and not settings.embedder):
            message = f"It cannot be ranked by {by[:20]!r} without an embedder."
            raise CollectionRefused("collection_invalid", message)
        if not (64 <= settings.budget <= 4_000 and 0 <= settings.overlap < settings.budget / 2):
            message = "Chunks have 64 to 4,000 tokens, and repeat less than half of them."
            raise CollectionRefused("collection_invalid", message)
        if name in (names := self.names()):
            raise CollectionRefused("collection_exists", f"There is a collection {name}.")
        if len(names) >= MOST_COLLECTIONS:
            message = f"{MOST_COLLECTIONS} collections are the most."
            raise CollectionRefused("collection_invalid", message)

    def create(self, name: str, settings: Settings) -> None:
        """Raises as `check_new`."""
        with self._lock:
            self.check_new(name, settings)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            OpenCollection.create(self._directory / f"{name}.db", settings)

    def get(self, name: str) -> Shelf:
        """A collection, opened if it is not. Raises CollectionRefused (`collection_not_found`)."""
        with self._lock:
            if (found := self._open.get(name)) is not None:
                return found
            if name not in self.names():
                message = f"There is no collection {name[:80]!r}."
                raise CollectionRefused("collection_not_found", message)
            collection = OpenCollection(self._directory / f"{name}.db")
            shelf = Shelf(name, collection, Searcher(collection, self._memory))
            self._open[name] = shelf
            return shelf

    def readable(self, name: str, access: AccessSet) -> Shelf:
        """Raises NotFound (`collection_not_found`) in the same words whether it exists or not."""
        try:
            shelf = self.get(name)
            with shelf.collection.reading() as connection:
                if len(readable(connection, access)):
                    return shelf
        except CollectionRefused as error:
            if error.code != "collection_not_found":
                raise
        raise NotFound(
            "collection_not_found", f"There is no collection {name[:80]!r}.", param="collection"
        )

    def drop(self, name: str) -> None:
        """Overwrites its bytes. Raises CollectionRefused (`collection_not_found`,
        `collection_busy`).
        """
        shelf = self.get(name)
        with self._lock:
            shelf.collection.erase()
            shelf.searcher.forget()
            shelf.collection.close()
            del self._open[name]
            for suffix in ("", "-wal", "-shm"):
                (self._directory / f"{name}.db{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            for shelf in self._open.values():
                shelf.collection.close()
            self._open.clear()
