"""Means to catch the writer of a log at work."""

import resource
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pysqlite3.dbapi2

from appliance.audit.log import AuditLog, Receipt
from appliance.errors import ApplianceError
from tests.audit.logs import admin


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Writes past this many bytes of a file fail, in the whole process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def writer_held(log: AuditLog) -> Iterator[None]:
    """Keep the writer thread busy: it runs the callback of a future that it resolved."""
    reached, release = threading.Event(), threading.Event()

    def hold(_: "Future[tuple[Receipt, ...]]") -> None:
        reached.set()
        release.wait()

    log.append(admin("hold")).add_done_callback(hold)
    reached.wait()
    try:
        yield
    finally:
        release.set()


def refusal(future: "Future[tuple[Receipt, ...]]") -> ApplianceError:
    error = future.exception()
    assert isinstance(error, ApplianceError)
    return error


def checkpoint_sizes(directory: Path) -> list[int]:
    database = pysqlite3.dbapi2.connect(str(directory / "log.db"))
    try:
        return [row[0] for row in database.execute("SELECT size FROM checkpoint ORDER BY size")]
    finally:
        database.close()
