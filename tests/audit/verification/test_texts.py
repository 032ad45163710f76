"""Texts and their keys: a destroyed text shows, unless an entry says that it was erased."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.audit.content import wrap
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.verification import texts
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from tests.audit.halves import divided
from tests.audit.logs import (
    ANSWER,
    Intruder,
    ask,
    erasure,
    found,
    intent,
    key_of,
    keys_sql,
    new_log,
    open_log,
)


def findings(directory: Path) -> list[tuple[int, str]]:
    """Findings, the same in bulk, row by row, and divided."""
    whole = found(directory)
    with divided():
        assert [(p.seq, p.code) for p in verify_log(directory).problems] == whole
    return whole


def unreadable(directory: Path, seq: int, name: str) -> str:
    reader = LogReader(directory)
    with pytest.raises(AuditRefused) as caught:
        reader.content(seq, name)
    reader.close()
    return caught.value.code


@pytest.mark.parametrize("moved", [1, 11, 12])
def test_a_nonce_moved_into_the_ciphertext(intruder: Intruder, victim: Path, moved: int) -> None:
    """The digest over both stays the same, and no text decrypts."""
    intruder.sql(
        f"UPDATE content SET ct = CAST(substr(nonce, {13 - moved}) || ct AS BLOB), "
        f"nonce = substr(nonce, 1, {12 - moved}) WHERE seq = 4"
    )
    assert unreadable(victim, 4, "prompt") == "content_unavailable"  # what it is for
    assert findings(victim) == [(4, "content_mismatch")]


def test_a_ciphertext_moved_into_the_nonce(intruder: Intruder, victim: Path) -> None:
    intruder.sql(
        "UPDATE content SET nonce = CAST(nonce || substr(ct, 1, 4) AS BLOB), ct = substr(ct, 5) "
        "WHERE seq = 4"
    )
    assert findings(victim) == [(4, "content_mismatch")]


def deleted(directory: Path) -> None:
    assert keys_sql(directory, "DELETE FROM dek WHERE id = ?", (key_of(directory, 4),)) == 1


def swapped(directory: Path) -> None:
    one, other = key_of(directory, 4), key_of(directory, 5)
    for old, new in ((one, "x"), (other, one), ("x", other)):
        keys_sql(directory, "UPDATE dek SET id = ? WHERE id = ?", (new, old))


def garbled(directory: Path) -> None:
    garbage = os.urandom(60)
    keys_sql(directory, "UPDATE dek SET wrapped = ? WHERE id = ?", (garbage, key_of(directory, 4)))


def cut_short(directory: Path) -> None:
    keys_sql(directory, "UPDATE dek SET wrapped = x'00' WHERE id = ?", (key_of(directory, 4),))


def replaced(directory: Path) -> None:
    """Root has the KEK and wraps another key with it: it unwraps, and decrypts nothing."""
    key_id, kek = key_of(directory, 4), LogFiles(directory).key_encryption_key()
    wrapped = wrap(kek, key_id, os.urandom(32))
    keys_sql(directory, "UPDATE dek SET wrapped = ? WHERE id = ?", (wrapped, key_id))


WAYS: dict[str, tuple[Callable[[Path], None], list[tuple[int, str]]]] = {
    "deleted": (deleted, [(4, "key_missing")]),
    "swapped": (swapped, [(4, "key_mismatch"), (5, "key_mismatch")]),
    "garbled": (garbled, [(4, "key_mismatch")]),
    "cut short": (cut_short, [(4, "key_mismatch")]),
    "replaced": (replaced, [(4, "key_mismatch")]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_no_longer_opens_its_text(victim: Path, way: str) -> None:
    change, told = WAYS[way]
    assert findings(victim) == []  # the control
    change(victim)
    assert findings(victim) == told
    code = unreadable(victim, 4, "prompt")
    assert code == ("content_key_missing" if way == "deleted" else "content_unavailable")


def test_every_key_gone_is_counted(victim: Path) -> None:
    kept = 28  # texts of `sample`
    keys_sql(victim, "DELETE FROM dek")
    report = verify_log(victim)
    assert {p.code for p in report.problems} == {"key_missing"}
    assert report.problem_count == kept
    assert [p.seq for p in report.problems][:3] == [2, 3, 4]


def test_missing_and_erased_are_two_things(victim: Path) -> None:
    reader = LogReader(victim)
    with open_log(victim) as log:
        (receipt,) = log.append(erasure(reader, "single-1", "uid:0", "asked for")).result()
    reader.close()
    assert findings(victim) == []
    assert unreadable(victim, 4, "prompt") == "content_unavailable"
    keys_sql(victim, "DELETE FROM dek WHERE id = ?", (key_of(victim, 6),))
    assert findings(victim) == [(6, "key_missing")]
    assert unreadable(victim, 6, "prompt") == "content_key_missing"
    # An erasure that nobody signed erases nothing: it is found itself.
    intruder = Intruder(victim)
    body = intruder.rows()[receipt.seq].body.replace(b"[4,5]", b"[4,6]")
    intruder.sql("UPDATE leaf SET body = ? WHERE seq = ?", values=(body, receipt.seq))
    assert (receipt.seq, "leaf_mismatch") in findings(victim)


def test_a_range_knows_of_later_erasures(victim: Path) -> None:
    reader = LogReader(victim)
    with open_log(victim) as log:
        log.append(erasure(reader, "single-1", "uid:0", "asked for")).result()
    reader.close()
    assert found(victim, first=2, last=9) == []


def test_an_erasure_while_the_log_is_read_is_no_finding(
    victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more erasure is recorded after the verifier has looked at erasures."""
    reader = LogReader(victim)
    looked = texts.TextCheck.look
    keys_sql(victim, "DELETE FROM dek WHERE id = ?", (key_of(victim, 6),))

    def late(check: texts.TextCheck, *arguments: object) -> None:
        assert 6 not in check._erasures
        with open_log(victim) as log:
            log.append(erasure(reader, "single-2", "uid:0", "asked for")).result()
        looked(check, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(texts.TextCheck, "look", late)
    report = verify_log(victim)
    reader.close()
    assert report.ok, report.problems


def test_a_key_of_commitments_alone(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory, content="commit-only") as log:
        asked, _ = ask(log, "r")
    assert findings(directory) == []
    keys_sql(directory, "DELETE FROM dek WHERE id = ?", (key_of(directory, asked.seq),))
    assert findings(directory) == [(asked.seq, "key_missing")]


def test_without_the_kek_nothing_can_be_read(victim: Path) -> None:
    LogFiles(victim).kek.unlink()
    assert findings(victim) == [(0, "key_missing")]


def test_a_damaged_keys_db_is_told_and_the_rest_is_checked(
    intruder: Intruder, victim: Path
) -> None:
    LogFiles(victim).keys.write_bytes(b"not a database" * 400)
    intruder.sql("UPDATE leaf SET body = CAST(body || ' ' AS BLOB) WHERE seq = 30")
    told = findings(victim)
    assert told[0][1] == "database_damaged"
    assert (30, "body_invalid") in told


def test_keys_made_in_any_order_are_found(victim: Path) -> None:
    """For example restored from a dump: another order, and more rows than are read ahead."""
    rows = "SELECT id, kek_id, wrapped FROM dek ORDER BY hex(randomblob(8))"
    keys_sql(victim, f"INSERT OR REPLACE INTO dek (id, kek_id, wrapped) {rows}")
    more = "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "
    keys_sql(victim, f"INSERT INTO dek {more} SELECT 'more-' || i, 'k', x'00' FROM n")
    keys_sql(victim, f"INSERT OR REPLACE INTO dek (id, kek_id, wrapped) {rows}")
    assert findings(victim) == []


def test_a_log_in_use_has_its_keys(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for number in range(5):
            asked = [log.append(intent(f"r{number}-{n}")) for n in range(300)]
            assert verify_log(directory).ok
            for future in asked:
                future.result()
        assert verify_log(directory).ok
    reader = LogReader(directory)
    assert reader.content(5, "prompt") != ANSWER
    reader.close()


def test_erasures_and_verifications_at_once(tmp_path: Path) -> None:
    """No false alarm, and no reader of keys.db keeps an erasure from being finished."""
    directory, done, found_ok = new_log(tmp_path / "log"), threading.Event(), []

    def verifying() -> None:
        while not done.is_set():
            found_ok.append(verify_log(directory).ok)

    with open_log(directory) as log:
        for number in range(10):
            ask(log, f"r{number}")
        reader, thread = LogReader(directory), threading.Thread(target=verifying)
        thread.start()
        try:
            for number in range(10):
                log.append(erasure(reader, f"r{number}", "uid:0", "asked for")).result()
                ask(log, f"more-{number}")
        finally:
            done.set()
            thread.join()
        reader.close()
        assert log.latched is None
    assert all(found_ok)
    assert findings(directory) == []
