"""The server's own log lines in a file of the data directory, and the way to read them.

Rules: a line is one JSON object of `log_lines.JsonLines`, with a counted id, so that lines that
could not be written leave a gap; the file and its predecessor are bounded; no caller waits for the
disk. Reading needs no lock and no server, and takes a file that was cut anywhere.
"""

import contextlib
import itertools
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance.observability.log_lines import JsonLines, Unwaited, write_all
from appliance.types import Json

_BLOCK: Final = 1 << 16
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_PLAIN: Final = ("time", "level", "logger", "message")


@dataclass(frozen=True)
class Line:
    """One line; `fields` holds ids and figures that belong to it."""

    id: str
    time: str
    level: str
    logger: str
    message: str
    fields: dict[str, str]


class _Numbered(JsonLines):
    """Lines with an id: the start of the process, and a count."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)  # two threads may ask for the next

    def fields(self, record: logging.LogRecord) -> dict[str, Json]:
        return {"id": f"{os.getpid()}.{next(self._numbers)}", **super().fields(record)}


def log_file(data: Path) -> Path:
    """The file of log lines of a data directory."""
    return data / "logs" / "server.jsonl"


@dataclass
class Kept:
    """State of the log file.

    Attributes:
        problem: why the newest line could not be written; "" where it was.
        kept_from_us: when the oldest remaining line was written, once older ones were dropped.
    """

    problem: str = ""
    kept_from_us: int | None = None


@contextlib.contextmanager
def kept(data: Path, mib: int, fares: Kept | None = None) -> Iterator[None]:
    """Write this process's log lines to the file as well while the block runs.

    Args:
        mib: size at which a new file begins; 0 writes none.
        fares: gets the state of the file.
    """
    if not mib:
        yield
        return
    fares = fares or Kept()
    try:
        log_file(data).parent.mkdir(mode=0o700, exist_ok=True)
        file = _File(log_file(data), mib << 20, fares)
    except OSError as error:  # a log file that cannot be had must not keep the server from serving
        fares.problem = error.strerror or str(error)
        yield
        return
    handler = Unwaited(file.write)
    handler.setFormatter(_Numbered())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        if handler.end():
            file.close()


class _File:
    """The file, written by one thread.

    The standard library's handler has a lock, which a write to a hanging disk would hold, also
    against the end of the process.
    """

    def __init__(self, path: Path, most: int, fares: Kept) -> None:
        self._path, self._most, self._fares = path, most, fares
        self._descriptor = _appended(path)

    def write(self, line: bytes) -> None:
        """Add a line; a full file becomes the predecessor."""
        try:
            if os.fstat(self._descriptor).st_size + len(line) > self._most:
                self._begin_again()
            write_all(self._descriptor, line)
        except OSError as error:
            self._fares.problem = error.strerror or str(error)
            raise
        self._fares.problem = ""

    def _begin_again(self) -> None:
        before = self._path.with_name(self._path.name + ".1")
        if before.exists():  # its lines go; the file itself holds the oldest that are left
            self._fares.kept_from_us = _begun_us(self._path)
        with contextlib.suppress(FileNotFoundError):  # somebody took it away
            self._path.replace(before)
        old, self._descriptor = self._descriptor, _appended(self._path)
        os.close(old)

    def close(self) -> None:
        os.close(self._descriptor)


def _begun_us(path: Path) -> int | None:
    """When the first line of a file was written; None if unknown."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        found = _parsed(file.readline(_BLOCK))
        if found is not None:
            begun = datetime.strptime(found.time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            return int(begun.timestamp() * 1e6)
    return None


def _appended(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read(
    data: Path, *, level: str = "info", text: str = "", after: str | None = None, limit: int = 200
) -> list[Line]:
    """The newest lines that match, oldest of them first.

    Args:
        level: this one and above.
        text: in the message or a field, in any case.
        after: only lines after the one with this id; all of them when it is gone.

    Raises:
        OSError: the file cannot be read; a missing one has no lines.
    """
    wanted, words = _LEVELS.index(level), text.lower()
    found: list[Line] = []
    for line in _newest(log_file(data)):
        if line.id == after or len(found) == limit:
            break
        rank = _LEVELS.index(line.level) if line.level in _LEVELS else len(_LEVELS)
        told = " ".join((line.message, line.logger, *line.fields.values())).lower()
        if rank >= wanted and words in told:
            found.append(line)
    return found[::-1]


def _newest(path: Path) -> Iterator[Line]:
    for part in (path, path.with_name(path.name + ".1")):
        try:
            with part.open("rb") as file:
                yield from filter(None, map(_parsed, _backwards(file.fileno())))
        except FileNotFoundError:
            continue


def _backwards(fd: int) -> Iterator[bytes]:
    """The lines of a file from its end, read in blocks."""
    at, rest = os.fstat(fd).st_size, b""
    while at:
        size = min(_BLOCK, at)
        at -= size
        first, *lines = (os.pread(fd, size, at) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    yield rest


def _parsed(raw: bytes) -> Line | None:
    try:
        table: Any = json.loads(raw)
    except ValueError:  # the end of a line that is being written, or of a file that was cut
        return None
    if not isinstance(table, dict):
        return None
    plain = {name: str(table.pop(name, "")) for name in ("id", *_PLAIN)}
    return Line(**plain, fields={str(name): str(value) for name, value in table.items()})
