"""Databases that SQLite cannot read, or that a file beside them would overwrite."""

from collections.abc import Callable
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit.export import export
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.verification.findings import DAMAGED, MAX_FINDINGS, Findings
from appliance.audit.verification.verify import verify_log
from appliance.errors import CODES, ApplianceError, AuditUnavailable
from tests.audit.logs import Intruder, admin, open_log
from tests.audit.segmented import ROWS


def shortened(directory: Path) -> None:
    path = directory / "log.db"
    path.write_bytes(path.read_bytes()[:-8_192])


def halved(directory: Path) -> None:
    path = directory / "log.db"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def emptied(directory: Path) -> None:
    (directory / "log.db").write_bytes(b"")


def no_database(directory: Path) -> None:
    (directory / "log.db").write_bytes(b"hello world" * 1_000)


def without_rowid(directory: Path) -> None:
    database = pysqlite3.dbapi2.connect(str(directory / "log.db"), isolation_level=None)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_schema SET sql = sql || ', WITHOUT ROWID' WHERE name = 'leaf'")
    database.close()


def keys_without_rowid(directory: Path) -> None:
    database = pysqlite3.dbapi2.connect(str(directory / "keys.db"), isolation_level=None)
    database.execute("ALTER TABLE dek RENAME TO old")
    database.execute(
        "CREATE TABLE dek (id TEXT PRIMARY KEY, kek_id TEXT NOT NULL, wrapped BLOB NOT NULL) "
        "STRICT, WITHOUT ROWID"
    )
    database.execute("INSERT INTO dek SELECT * FROM old")
    database.execute("DROP TABLE old")
    database.close()


def keys_emptied(directory: Path) -> None:
    (directory / "keys.db").write_bytes(b"")


def journal(page: int, name: str) -> Callable[[Path], None]:
    """A journal that SQLite believes: it writes zeros back over a page."""

    def do(directory: Path) -> None:
        pages = (directory / name).stat().st_size // 4_096
        header = bytes.fromhex("d9d505f920a163d7") + b"".join(
            number.to_bytes(4) for number in (1, 0, pages, 512, 4_096)
        )
        record = page.to_bytes(4) + bytes(4_096) + (0).to_bytes(4)
        (directory / f"{name}-journal").write_bytes(header.ljust(512, b"\0") + record)

    return do


WAYS: dict[str, Callable[[Path], None]] = {
    "shortened": shortened, "halved": halved, "emptied": emptied, "no database": no_database,
    "without rowid": without_rowid, "keys emptied": keys_emptied,
    "journal": journal(2, "log.db"), "journal of the keys": journal(2, "keys.db"),
}  # fmt: skip


def contents(directory: Path) -> dict[str, bytes]:
    names = ("log.db", "keys.db", "log.db-journal", "keys.db-journal", "HEAD", "genesis.pub")
    return {name: (directory / name).read_bytes() for name in names if (directory / name).exists()}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_damage_and_no_want_of_disk_space(victim: Path, tmp_path: Path, way: str) -> None:
    assert verify_log(victim).ok  # the control
    WAYS[way](victim)
    before = contents(victim)
    report = verify_log(victim)
    assert report.problems[0].code == "database_damaged"
    assert not report.ok

    def reading() -> None:
        reader = LogReader(victim)
        reader.entry(3)
        reader.content(3, "completion")

    for use in (lambda: open_log(victim), reading):
        with pytest.raises(ApplianceError) as caught:
            use()
        assert (type(caught.value), caught.value.code) == (AuditUnavailable, "database_damaged")
        assert "disk" not in caught.value.hint
    if "keys" not in way:
        with pytest.raises(ApplianceError) as caught:
            export(victim, "csv", tmp_path / "out.csv")
        assert caught.value.code == "database_damaged"
    assert contents(victim) == before  # nothing was mended, so the evidence is what it was


def test_the_control_sqlite_obeys_the_journal(victim: Path) -> None:
    """Without the check, opening the log for writing overwrites the evidence."""
    WAYS["journal"](victim)
    before = contents(victim)["log.db"]
    pysqlite3.dbapi2.connect(str(victim / "log.db")).execute("PRAGMA user_version").fetchall()
    assert contents(victim)["log.db"] != before


def test_keys_without_rowid(victim: Path) -> None:
    keys_without_rowid(victim)
    report = verify_log(victim)
    assert {p.code for p in report.problems} == {"schema_mismatch", "database_damaged"}
    with pytest.raises(AuditUnavailable) as caught:
        open_log(victim)
    assert caught.value.code == "database_damaged"


def test_a_journal_beside_a_later_segment(three: Path) -> None:
    journal(2, LogFiles(three).segment(ROWS).name)(three)
    first = verify_log(three).problems[0]
    assert (first.seq, first.code) == (ROWS, "database_damaged")


def test_damage_comes_before_what_follows_from_it(victim: Path) -> None:
    """A page in the middle is overwritten."""
    path = victim / "log.db"
    data = bytearray(path.read_bytes())
    at = data.index(Intruder(victim).rows()[20].body) // 4_096 * 4_096
    data[at : at + 4_096] = b"\xff" * 4_096
    path.write_bytes(data)
    report = verify_log(victim)
    assert report.problems[0].code == "database_damaged"
    assert report.problems[0].seq > 0
    assert "index_mismatch" not in {p.code for p in report.problems}


def test_an_error_that_is_no_damage_is_no_finding() -> None:
    findings = Findings()
    busy = pysqlite3.dbapi2.OperationalError("database is locked")
    with pytest.raises(pysqlite3.dbapi2.OperationalError):
        findings.damage(0, busy, "The log")
    findings.add(0, DAMAGED, "x")
    findings.damage(0, busy, "The log")  # after damage it is a consequence
    assert findings.count == 1


def test_damage_is_kept_whatever_was_found_before() -> None:
    findings = Findings()
    for number in range(MAX_FINDINGS + 5):
        findings.add(number, "leaf_mismatch", "x")
    findings.add(3, DAMAGED, "y")
    assert findings.sorted()[0].code == DAMAGED
    assert (len(findings.kept), findings.count) == (MAX_FINDINGS + 1, MAX_FINDINGS + 6)


def test_a_latch_after_damage_says_so(victim: Path) -> None:
    with open_log(victim) as log:
        error = pysqlite3.dbapi2.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = pysqlite3.dbapi2.SQLITE_CORRUPT

        def fail(*_: object, **__: object) -> None:
            raise error

        log._session.writer.commit = fail  # type: ignore[assignment, method-assign]
        for _ in range(2):
            with pytest.raises(AuditUnavailable) as caught:
                log.append(admin("x")).result()
            assert caught.value.code == "database_damaged"
    assert "evidence" in CODES["database_damaged"].hint
    assert Intruder(victim).rows()
