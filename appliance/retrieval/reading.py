"""Reads a document in a process of its own.

Rules: one process a document; its time is processor time, so that a busy machine refuses no good
document; a process that neither computes nor waits for the processor is ended; the outcome is
always a text or a refusal.
"""

import contextlib
import os
import selectors
import signal
import subprocess
from pathlib import Path
from typing import Final

from appliance.errors import CollectionRefused
from appliance.jobs import priority
from appliance.retrieval import formats, reader
from appliance.retrieval.extracted import MOST_TEXT, Extracted
from appliance.workers.child import Child

MOST_BYTES: Final = 256 << 20
"""Of the file of a document."""
MOST_ANSWER: Final = 2 * MOST_TEXT + (32 << 20)
SECONDS: Final = 300
"""Of processor time, the start of the process included."""
_LOOK_S: Final = 60.0


def media_of(name: str) -> str:
    """The reader for a file of this name. Raises CollectionRefused (`document_unsupported`)."""
    suffix = Path(name).suffix.lower()
    for media, each in formats.formats().items():
        if suffix in each.endings:
            return media
    message = f"Nothing here reads {suffix[:20]!r}, but {formats.titles()}."
    raise CollectionRefused("document_unsupported", message)


def content(path: Path) -> bytes:
    """The bytes of a file, no link. Raises CollectionRefused (as `read`)."""
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


def read(data: bytes, media: str, *, seconds: int = SECONDS) -> Extracted:
    """Read a document.

    Args:
        seconds: most processor time, 1 or more.

    Raises:
        CollectionRefused: `document_unreadable`, `document_too_large`, `document_time`.
    """
    fd = os.memfd_create("document", os.MFD_CLOEXEC)
    try:
        _fill(fd, data)
        child = Child.start(
            "appliance.retrieval.reader", media, seconds,
            stdin=fd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        os.close(fd)
    try:
        with contextlib.suppress(ProcessLookupError):  # it ended already
            priority.lower(child.process.pid)
        answer = _answer(child.process)
    finally:
        child.end()
        if child.process.stdout is not None:
            child.process.stdout.close()
    status, _ = child.wait()
    if status == -signal.SIGXCPU:
        raise CollectionRefused("document_time", f"It takes over {seconds} s of processor time.")
    return reader.decoded(answer)


def _fill(fd: int, data: bytes) -> None:
    """Leaves the descriptor at the beginning."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)


def _answer(process: "subprocess.Popen[bytes]") -> bytes:
    if process.stdout is None:
        return b""
    parts, size, spent = [], 0, -1
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(_LOOK_S):
                sleeps, now = _standing(process.pid)
                if sleeps and now == spent:
                    raise CollectionRefused("document_time", "Its reader makes no progress.")
                spent = now
                continue
            part = os.read(process.stdout.fileno(), 1 << 20)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MOST_ANSWER:
                raise CollectionRefused("document_too_large", "Its text is too large.")
    return b"".join(parts)


def _standing(pid: int) -> tuple[bool, int]:
    """Read a child's state: asleep or not, and its ticks of processor time (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0] == "S", int(fields[11]) + int(fields[12])
