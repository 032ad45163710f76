"""Formats of log lines: for a person, or as one JSON object a line.

Rules: a line holds what the code says and ids, never a text of a client; whatever came from outside
passes the sanitiser. No caller waits for a line: a thread writes them, plain ones up to a twentieth
of a second later. When the reader is too slow, lines are dropped; the next written line has their
number.
"""

import contextlib
import functools
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from appliance.text import visible
from appliance.types import Json

_CLIENT: Final = ("x_request_id", "x_client_request_id", "traceparent")  # as clients sent them
_FIELDS: Final = (
    "request_id", *_CLIENT, "key_id", "app", "model", "code", "status", "milliseconds",
)  # fmt: skip
_MOST_WAITING: Final = 4096
_LAST_LINES_S: Final = 2.0
_PAUSE_S: Final = 0.05


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the ids that belong to it."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record))

    def fields(self, record: logging.LogRecord) -> dict[str, Json]:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Json] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: record.__dict__[name] for name in _FIELDS if record.__dict__.get(name)}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__  # its message may quote a prompt
        return line


class TextLines(logging.Formatter):
    """Level, message and the ids of the request; for a failure also app, model and code."""

    def format(self, record: logging.LogRecord) -> str:
        names: tuple[str, ...] = ("request_id", *_CLIENT)
        if record.levelno >= logging.WARNING:
            names += ("app", "model", "code")
        told = [str(record.__dict__[name]) for name in names if record.__dict__.get(name)]
        text = f"{record.levelname} {visible(record.getMessage(), limit=4_000)}"
        return " ".join((text, *(visible(each, limit=200) for each in told)))


class Unwaited(logging.Handler):
    """Hands lines to a thread that writes them.

    Args:
        write: writes one line, with its end; called by that thread only, and may take its time. A
            line that it cannot write (OSError) is lost.
        most: lines that may wait.
    """

    def __init__(self, write: Callable[[bytes], None], most: int = _MOST_WAITING) -> None:
        super().__init__()
        self._write, self._most = write, most
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._idle = self._writing = self._ending = False
        self._changed, self._hurry = threading.Condition(), threading.Event()
        # A daemon: a write without a reader must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        with self._changed:
            if len(self._lines) < self._most:
                self._lines.append(line)
            else:
                self._dropped += 1
            if self._idle:
                self._changed.notify_all()
        if record.levelno >= logging.WARNING:
            self._hurry.set()

    def flush(self) -> None:
        """Wait a little while at most for the lines under way."""
        self._hurry.set()
        with self._changed:
            self._changed.wait_for(
                lambda: self._ending or not (self._lines or self._dropped or self._writing),
                _LAST_LINES_S,
            )

    def end(self, seconds: float = _LAST_LINES_S) -> bool:
        """Write the waiting lines, for so long at most; True if all are written."""
        with self._changed:
            self._ending = True
            self._hurry.set()
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while lines := self._next():
            for line in lines:
                with contextlib.suppress(OSError):  # the reader has gone, or the disk is full
                    self._write(f"{line}\n".encode(errors="backslashreplace"))
            self._hurry.wait(_PAUSE_S)

    def _next(self) -> list[str]:
        """The next lines, waited for; none when there will be no more."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            if not (self._lines or self._dropped or self._ending):
                self._hurry.clear()
                self._idle = True
                self._changed.wait_for(lambda: self._lines or self._dropped or self._ending)
            self._idle, self._writing = False, True
            lines, dropped = [*self._lines], self._dropped
            self._lines.clear()
            self._dropped = 0
        return [*lines, self._told(dropped)] if dropped else lines

    def _told(self, dropped: int) -> str:
        told = f"{dropped} lines of the log were dropped, because they could not be written in time"
        return self.format(logging.LogRecord("appliance", logging.WARNING, "", 0, told, (), None))


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor, which stays in blocking mode: others may write to it, too."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def configured(style: str) -> Iterator[None]:
    """Write the log to stderr while the block runs.

    Args:
        style: `text` or `json`.
    """
    # Not through sys.stderr, whose lock would be held while a write is waited for.
    handler = Unwaited(functools.partial(write_all, sys.stderr.fileno()))
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.end()
