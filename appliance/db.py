"""SQLite through SQLAlchemy Core: one driver, checked pragmas, additive migrations.

Rules:
- The driver is pysqlite3, never the standard library's sqlite3: two copies of SQLite in one process
  drop each other's POSIX locks, and current Debian's has a WAL-reset corruption bug.
- WAL with synchronous=FULL. Pragmas are read back; a database that does not take them is refused.
- Transactions begin with BEGIN IMMEDIATE, so that a writer never fails half way for a lock; long
  ones that only read are those of `reading`.
- Migrations are a list of SQL scripts; `user_version` counts how many have run. A script is never
  edited and only adds. A newer release's database is refused; `application_id` names it.
- The file is never opened and closed by other means in a process that holds it (POSIX locks).
- A path is taken as it is: `%41`, `?` and `#` mean nothing in it.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pysqlite3.dbapi2
from sqlalchemy import (
    URL,
    ColumnClause,
    Connection,
    Dialect,
    Engine,
    Executable,
    LargeBinary,
    TableClause,
    Text,
    TypeDecorator,
    bindparam,
    create_engine,
    event,
    text,
)  # fmt: skip

from appliance import __version__
from appliance.errors import StateRefused, Unavailable
from appliance.host.at_rest import MARK, OVERHEAD, PLAIN, TextCipher

# 3.51.3 fixed the WAL-reset bug.
OLDEST_SQLITE = (3, 51, 3)
PRAGMAS: Final[dict[str, str | int]] = {
    "journal_mode": "wal",
    "synchronous": 2,
    "recursive_triggers": 1,
    "foreign_keys": 1,
}
"""How every database that is written is opened."""
_READS: Final = "appliance_reads"
_CIPHER: Final = "appliance_cipher"
LENGTH: Final = f"(length({{0}}) - {OVERHEAD} * (substr({{0}}, 1, {len(MARK)}) IS x'{MARK.hex()}'))"
"""SQL for the bytes of a text in a column of `SealedBytes`."""
_BITS: Final = 10
"""Bits of `application_id` for each of the three numbers of a release."""


def open_database(path: Path, migrations: Sequence[str], *, erases: bool = False) -> Engine:
    """Open or create a database and bring it to the newest version.

    Args:
        path: the file; its directory must exist. Created with mode 0600.
        migrations: SQL scripts, oldest first.
        erases: deleted content is overwritten with zeros.

    Raises:
        StateRefused: `database_unusable` when SQLite is too old or a pragma does not hold,
            `database_newer` when a newer release wrote the file.
    """
    if pysqlite3.dbapi2.sqlite_version_info < OLDEST_SQLITE:
        raise StateRefused(
            "database_unusable",
            f"SQLite {pysqlite3.dbapi2.sqlite_version} is too old: 3.51.3 is needed.",
        )
    if not path.exists():
        path.touch(mode=0o600)
    # An URL made of parts: in one made of text, a `?` in the path would end the path.
    url = URL.create("sqlite", database=str(path.absolute()))
    engine = create_engine(url, module=pysqlite3.dbapi2)
    event.listen(engine, "connect", _configure)
    if erases:
        event.listen(engine, "connect", _erase)
    event.listen(engine, "begin", _begin)
    try:
        _migrate(engine, path, migrations)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_readonly(path: Path) -> Engine:
    """Open an existing database for reading; writes fail in SQLite itself."""
    url = URL.create(
        "sqlite",
        database="file:" + quote(str(path.absolute())),  # SQLite's own URI ends at `?` and `#`
        query={"mode": "ro", "uri": "true"},
    )
    engine = create_engine(url, module=pysqlite3.dbapi2)
    event.listen(engine, "connect", _plain)
    return engine


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads one state and takes no write lock."""
    with engine.connect().execution_options(**{_READS: True}) as connection, connection.begin():
        yield connection


def scrub(engine: Engine, *, anew: bool = True) -> None:
    """Leave nothing of what was deleted: not in the file, its free pages or the log of writes.

    Raises:
        Unavailable: `erasure_unfinished` when a reader holds the log of writes for longer than five
            seconds.
    """
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        try:
            raw.execute("PRAGMA temp_store = MEMORY")  # or a copy would lie in a temporary file
            if anew:
                raw.execute("VACUUM")
            (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except pysqlite3.dbapi2.OperationalError as error:
            raise Unavailable("erasure_unfinished", f"{error}.") from error
    if busy:
        raise Unavailable("erasure_unfinished", "A reader holds the log of writes.")


class SealedText(TypeDecorator[str]):
    """A text that lies encrypted where its database has a cipher (`seal`).

    Marks of absence (empty, `{}`, or begun by NUL) lie as they are.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value in (None, "", "{}") or str(value).startswith("\0"):
            return value
        return _cipher(dialect).seal_line(str(value).encode()).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Raises StateRefused (`content_unavailable`) without the text's key."""
        if value is None or not value.startswith(MARK.decode()):
            return value
        return _cipher(dialect).open_line(value.encode()).decode()


class SealedBytes(TypeDecorator[bytes]):
    """The same for bytes; only empty ones lie as they are."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        return None if value is None else _cipher(dialect).seal(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """Raises as `SealedText`."""
        return None if value is None else _cipher(dialect).open(value)


def sealed_columns(sql: str, *columns: ColumnClause[Any]) -> Executable:
    """SQL whose results, and parameters of the same names, have the types of these columns."""
    named = (c for c in columns if f":{c.name}" in sql)
    clause = text(sql).bindparams(*(bindparam(c.name, type_=c.type) for c in named))
    types = {column.name: column.type for column in columns}
    return clause.columns(**types) if sql.startswith("SELECT") else clause


def seal(
    engine: Engine, cipher: TextCipher, tables: Sequence[TableClause], *, anew: bool = False
) -> None:
    """Give a database its cipher, and encrypt what an older release left in plain.

    Args:
        tables: those with columns of `SealedText` and `SealedBytes`.
        anew: encrypt also what lies under an older key.

    Raises:
        Unavailable: as `scrub`.
    """
    give(engine, cipher)
    if not cipher:
        return
    left = 0
    with engine.begin() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.create_function("sealed_text", 1, lambda said: _line(cipher, said))
        raw.create_function("sealed_bytes", 1, lambda said: _bytes(cipher, said))
        for table in tables:
            for c in table.c:
                if isinstance(c.type, SealedText | SealedBytes):
                    left += connection.exec_driver_sql(_sealing(table, c, anew)).rowcount
    if left:
        scrub(engine)


def give(engine: Engine, cipher: TextCipher) -> None:
    """Give a database the cipher by which its sealed columns are read."""
    setattr(engine.dialect, _CIPHER, cipher)


def _cipher(dialect: Dialect) -> TextCipher:
    found: TextCipher = getattr(dialect, _CIPHER, PLAIN)
    return found


def _line(cipher: TextCipher, said: str) -> str:
    with contextlib.suppress(StateRefused):  # of a key that is not here: as it lies
        said = cipher.seal_line(cipher.open_line(said.encode())).decode()
    return said


def _bytes(cipher: TextCipher, said: bytes) -> bytes:
    with contextlib.suppress(StateRefused):
        said = cipher.seal(cipher.open(said))
    return said


def _sealing(table: TableClause, column: ColumnClause[Any], anew: bool) -> str:
    """All names are our own words."""
    name = f'"{column.name}"'
    if isinstance(column.type, SealedBytes):
        function, marks = "sealed_bytes", f"length({name}) = 0"
    else:
        function, marks = "sealed_text", f"{name} IN ('', '{{}}') OR unicode({name}) IS NULL"
    begins = f"CAST(substr({name}, 1, {len(MARK)}) AS BLOB) = x'{MARK.hex()}'"
    begins = "0" if anew else begins
    sql = f"UPDATE {table.name} SET {name} = {function}({name}) WHERE NOT ({marks} OR {begins})"  # noqa: S608
    return sql


@contextlib.contextmanager
def decoding(of: str) -> Iterator[None]:
    """Refuse rows that cannot be read (`database_unusable`)."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        message = f"A row of {of} in appliance.db cannot be read: {error!r}."
        raise StateRefused("database_unusable", message) from error


def check_pragma(statements: Any, name: str, value: str | int) -> None:
    """See that a pragma holds, on a cursor or connection of the driver.

    Raises:
        StateRefused: `database_unusable` when it does not.
    """
    row = statements.execute(f"PRAGMA {name}").fetchone()
    got = None if row is None else row[0]  # SQLite says nothing of a pragma that it does not know
    if got != value:
        raise StateRefused("database_unusable", f"SQLite keeps {name} at {got}, not {value}.")


def schema_of(connection: Connection, path: Path, known: int) -> int:
    """Count the migrations that ran; `known` are this release's.

    Raises:
        StateRefused: `database_newer` when it had more, with the release that ran them.
    """
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if version > known:
        release = _release(int(connection.exec_driver_sql("PRAGMA application_id").scalar_one()))
        raise StateRefused(
            "database_newer",
            f"{path.name} has schema {version}, of {release}; release {__version__} knows schemas "
            f"up to {known}.",
        )
    return version


def _stamp(release: str) -> int:
    major, minor, patch = map(int, re.findall(r"\d+", release)[:3])
    return (major << _BITS | minor) << _BITS | patch


def _release(stamp: int) -> str:
    if not stamp:
        return "a release that is not named"
    numbers = (stamp >> 2 * _BITS, stamp >> _BITS & (1 << _BITS) - 1, stamp & (1 << _BITS) - 1)
    return "release " + ".".join(map(str, numbers))


def _plain(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's `begin` event below starts transactions
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA busy_timeout = 5000")
        for name, value in PRAGMAS.items():
            cursor.execute(f"PRAGMA {name} = {value}")
            check_pragma(cursor, name, value)
    finally:
        cursor.close()


def _erase(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA secure_delete = ON")
        check_pragma(cursor, "secure_delete", 1)
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")


def _migrate(engine: Engine, path: Path, migrations: Sequence[str]) -> None:
    with engine.begin() as connection:
        version = schema_of(connection, path, len(migrations))
        for number, script in enumerate(migrations[version:], start=version + 1):
            for statement in _statements(script):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"PRAGMA user_version = {number}")
            connection.exec_driver_sql(f"PRAGMA application_id = {_stamp(__version__)}")


def _statements(script: str) -> list[str]:
    """Split a script at lines that end a statement; a trigger's body ends with END;."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if pysqlite3.dbapi2.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
