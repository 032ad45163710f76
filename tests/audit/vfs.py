"""The log's own writer on a file system that forgets: SQLite's VFS in Python, through APSW.

Everything that SQLite does is noted as `powerloss.Op`, with the acknowledgements between. The
product's code runs unchanged over a small DBAPI; HEAD is noted as well.

Method: SQLite's test6.c.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import pysqlite3.dbapi2 as driver

from appliance import db
from appliance.audit import session, store
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles, replace
from appliance.audit.session import Session
from appliance.clock import FixedClock
from tests.audit.logs import intent, outcome
from tests.audit.powerloss import Op

NAME = "noting"


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], ops: list[Op]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name, self._ops = Path(path).name, ops

    def xWrite(self, data: Any, offset: int) -> None:  # a buffer; its type came with Python 3.12
        super().xWrite(data, offset)
        self._ops.append(Op("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._ops.append(Op("cut", self._name, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._ops.append(Op("sync", self._name))


class _Vfs(apsw.VFS):
    def __init__(self, ops: list[Op]) -> None:
        super().__init__(NAME, "unix")
        self._ops = ops

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(name, flags, self._ops)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self._ops.append(Op("remove", Path(name).name))
        if sync:
            self._ops.append(Op("sync"))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise driver.OperationalError(str(error)) from error


class _Cursor:
    arraysize, lastrowid, rowcount = 1, None, -1

    def __init__(self, connection: apsw.Connection) -> None:
        self._cursor = connection.cursor()
        self.description: Any = None

    def execute(self, sql: str, values: Any = ()) -> "_Cursor":
        with _errors():
            self._cursor.execute(sql, values)
            try:
                self.description = tuple(
                    (d[0], *[None] * 6) for d in self._cursor.get_description()
                )
            except apsw.ExecutionCompleteError:
                self.description = None
        return self

    def executemany(self, sql: str, rows: Iterable[Any]) -> "_Cursor":
        with _errors():
            self._cursor.executemany(sql, rows)
        self.description = None
        return self

    def fetchone(self) -> Any:
        with _errors():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _errors():
            return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def close(self) -> None:
        self._cursor.close()


class _Connection:
    """A connection of the DBAPI over APSW; statements outside of BEGIN commit by themselves."""

    isolation_level: str | None = None

    def __init__(self, path: str) -> None:
        self._apsw = apsw.Connection(path, vfs=NAME)

    def cursor(self) -> _Cursor:
        return _Cursor(self._apsw)

    def execute(self, sql: str, values: Any = ()) -> _Cursor:
        return self.cursor().execute(sql, values)

    def set_authorizer(self, call: Any) -> None:
        self._apsw.authorizer = call

    def create_function(self, *_: Any, **__: Any) -> None:
        pass

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        self._apsw.close(True)

    def _end(self, how: str) -> None:
        if self._apsw.in_transaction:
            self.execute(how)


class _Driver:
    paramstyle = "qmark"
    sqlite_version = apsw.sqlite_lib_version()
    sqlite_version_info = tuple(map(int, sqlite_version.split(".")))

    def __getattr__(self, name: str) -> Any:
        return getattr(driver, name)

    def connect(self, path: str, **_: Any) -> _Connection:
        return _Connection(path)


@contextmanager
def noted(ops: list[Op]) -> Iterator[AbstractContextManager[object]]:
    """Databases that are opened within what it gives note all that they do."""
    vfs = _Vfs(ops)
    try:
        yield mock.patch.object(db, "pysqlite3", mock.Mock(dbapi2=_Driver()))
    finally:
        vfs.unregister()


def record(directory: Path, requests: int, synchronous: str = "FULL") -> list[Op]:
    ops: list[Op] = []

    def note_replaced(path: Path, data: bytes) -> None:
        replace(path, data)
        if path.parent != directory:  # another log that this process has open
            return
        new = path.name + ".new"
        ops.extend([Op("cut", new, 0), Op("write", new, 0, data), Op("sync", new),
                    Op("rename", new, data=path.name.encode()), Op("sync")])  # fmt: skip

    with noted(ops) as opening, opening, mock.patch.object(session, "replace", note_replaced):
        writing = Session.begin(
            LogFiles(directory), mode="encrypted", clock=FixedClock(), limits=EpochLimits()
        )
        if synchronous != "FULL":
            dbapi = store.raw(writing.connection)
            dbapi.set_authorizer(None)
            dbapi.execute(f"PRAGMA synchronous = {synchronous}")
        for number in range(requests):
            _answer(writing, ops, number)
        writing.abandon()
    return ops


def _answer(writing: Session, ops: list[Op], number: int) -> None:
    """One request; every receipt is noted when a client would get it."""
    (asked,) = writing.commit([[intent(f"r{number}")]])
    assert isinstance(asked, tuple)
    ops.append(Op("said", data=f"{asked[0].seq} {asked[0].leaf.hex()}\n".encode()))
    (answered,) = writing.commit([[outcome(asked[0].seq, f"r{number}")]])
    assert isinstance(answered, tuple)
    ops.append(Op("said", data=f"{answered[0].seq} {answered[0].leaf.hex()}\n".encode()))
    if number % 3 == 2:
        writing.write_head()
    if number % 5 == 4:
        writing.writer.checkpoint("PASSIVE")
