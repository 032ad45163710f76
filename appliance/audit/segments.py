"""The segments of a log: files of consecutive entries, read as one log.

Rules: no file is renamed, emptied or copied. A row counts only in the segment whose range it
belongs to. Files that came or went are noticed at each use.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Engine

from appliance.audit.files import LogFiles
from appliance.db import open_readonly

NO_END: Final = 1 << 62


class LogSegment:
    """One file.

    Attributes:
        end: the first entry of the next segment; beyond every entry in the last one.
    """

    def __init__(self, first: int, end: int, connect: Callable[[], Any]) -> None:
        self.first, self.end, self._connect = first, end, connect

    @cached_property
    def dbapi(self) -> Any:
        return self._connect()


class Log:
    """All segments of a log, oldest first. For one thread at a time."""

    def __init__(self, segments: Sequence[LogSegment]) -> None:
        self.segments = list(segments)

    @classmethod
    def of(cls, dbapi: Any, first: int = 0) -> Self:
        return cls([LogSegment(first, NO_END, lambda: dbapi)])

    @property
    def first(self) -> int:
        """The first entry: 0 unless something was pruned."""
        return self.segments[0].first

    @property
    def newest(self) -> LogSegment:
        return self.segments[-1]

    def within(self, first: int, end: int = NO_END) -> Iterator[tuple[Any, int, int]]:
        """Connections to the segments that hold the entries first ≤ seq < end, and the part of
        each.
        """
        for segment in self.segments:
            low, high = max(first, segment.first), min(end, segment.end)
            if low < high:
                yield segment.dbapi, low, high

    def backwards(self, end: int = NO_END, first: int = 0) -> Iterator[tuple[Any, int, int]]:
        """As `within`, newest first."""
        for segment in reversed(self.segments):
            low, high = max(first, segment.first), min(end, segment.end)
            if low < high:
                yield segment.dbapi, low, high


class Segments:
    """Opens a log for reading, again and again. Usable from any thread."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._engines: dict[Path, Engine] = {}

    @contextmanager
    def open(self) -> Iterator[Log]:
        """The log as it is now, for a few statements."""
        with ExitStack() as stack:
            yield Log(self._found(stack))

    def opened_beside(self, dbapi: Any, first: int, stack: ExitStack) -> Log:
        older = [s for s in self._found(stack) if s.first < first]
        return Log([*older, LogSegment(first, NO_END, lambda: dbapi)])

    def close(self) -> None:
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def _found(self, stack: ExitStack) -> list[LogSegment]:
        found = self._files.segments()
        if not found:
            raise FileNotFoundError("the log's files are gone")
        self._forget({path for _, path in found})
        ends = [first for first, _ in found[1:]] + [NO_END]
        return [
            LogSegment(first, end, self._connecting(path, stack))
            for (first, path), end in zip(found, ends, strict=True)
        ]

    def _connecting(self, path: Path, stack: ExitStack) -> Callable[[], Any]:
        def connect() -> Any:
            with self._lock:
                engine = self._engines.get(path)
                if engine is None:
                    engine = self._engines[path] = open_readonly(path)
            return stack.enter_context(engine.connect()).connection.driver_connection

        return connect

    def _forget(self, present: set[Path]) -> None:
        with self._lock:
            for path in self._engines.keys() - present:
                self._engines.pop(path).dispose()
