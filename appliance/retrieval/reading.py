"""Reads a document in a process of its own.

Rules: one process a document, so that what one does to its reader reaches no other; its answer has
a greatest size and its life a longest time; whatever it does, the outcome is a text or a refusal.
"""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from appliance.errors import CollectionRefused
from appliance.jobs import priority
from appliance.retrieval import reader
from appliance.retrieval.extracted import MOST_TEXT, Extracted

MOST_BYTES: Final = 256 << 20
"""Of the file of a document."""
MOST_ANSWER: Final = 2 * MOST_TEXT + (32 << 20)
SECONDS: Final = 600.0
_SUFFIXES: Final = {
    ".txt": "plain", ".text": "plain", ".log": "plain", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".docx": "docx", ".pdf": "pdf",
}  # fmt: skip


def media_of(name: str) -> str:
    """What reads a file of this name.

    Raises:
        CollectionRefused: `document_unsupported`.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise CollectionRefused("document_unsupported", f"Nothing here reads {suffix[:20]!r}.")
    return _SUFFIXES[suffix]


def content(path: Path) -> bytes:
    """The bytes of a document's file; a link is not followed.

    Raises:
        CollectionRefused: `document_too_large`, `document_unreadable`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CollectionRefused(
            "document_unreadable", f"The file cannot be read: {error.strerror}."
        ) from error
    if len(data) > MOST_BYTES:
        message = f"The file has more than {MOST_BYTES >> 20} MiB."
        raise CollectionRefused("document_too_large", message)
    return data


def read(data: bytes, media: str, *, seconds: float = SECONDS) -> Extracted:
    """Read a document.

    Args:
        seconds: the longest that it may take.

    Raises:
        CollectionRefused: `document_unreadable`, `document_too_large`, `document_time`.
    """
    fd = os.memfd_create("document", os.MFD_CLOEXEC)
    try:
        _fill(fd, data)
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "appliance.retrieval.reader", media],
            stdin=fd,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
    finally:
        os.close(fd)
    try:
        with contextlib.suppress(ProcessLookupError):  # it ended already
            priority.lower(process.pid)
        answer = _answer(process, time.monotonic() + seconds)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return reader.decoded(answer)


def _fill(fd: int, data: bytes) -> None:
    """Write a document to memory, and go back to its beginning."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)


def _answer(process: "subprocess.Popen[bytes]", end: float) -> bytes:
    """What a process writes until it ends, within a size and a time."""
    if process.stdout is None:
        return b""
    parts, size = [], 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise CollectionRefused("document_time", "It was not read in time.")
            part = os.read(process.stdout.fileno(), 1 << 20)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MOST_ANSWER:
                raise CollectionRefused("document_too_large", "Its text is too large.")
    return b"".join(parts)
