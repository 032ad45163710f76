"""Erasure: keys and texts are gone from every byte, the record of it stays (cases 44, 56)."""

from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from tests.audit.logs import PROMPT, copy, erasure, open_log

pytestmark = pytest.mark.durable


def wrapped(directory: Path, seq: int) -> bytes:
    reader = LogReader(directory)
    content = reader.entry(seq).body["content"]
    reader.close()
    assert isinstance(content, dict)
    database = pysqlite3.dbapi2.connect(str(LogFiles(directory).keys))
    row = database.execute("SELECT wrapped FROM dek WHERE id = ?", (content["key"],)).fetchone()
    database.close()
    return b"" if row is None else bytes(row[0])


def everything(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


def erase(directory: Path, request: str) -> int:
    with open_log(directory) as log:
        reader = LogReader(directory)
        (receipt,) = log.append(erasure(reader, request, "uid:0", "asked for")).result()
        reader.close()
        running = everything(directory)
        assert PROMPT not in running
    return receipt.seq


def test_56_no_byte_of_key_or_text_is_left(victim: Path) -> None:
    keys = [wrapped(victim, seq) for seq in (2, 3)]
    kept = wrapped(victim, 4)
    before = everything(victim)
    assert all(len(key) == 60 and key in before for key in keys)  # the control: grep finds them
    seq = erase(victim, "single-0")
    after = everything(victim)
    assert not any(key in after for key in keys)
    assert kept in after
    report = verify_log(victim)
    assert report.ok, report.problems
    reader = LogReader(victim)
    body = reader.entry(seq).body
    assert (body["kind"], body["entries"], body["request_id"]) == ("erase", [2, 3], "single-0")
    for gone, name in ((2, "prompt"), (3, "completion")):
        with pytest.raises(AuditRefused, match="erased"):
            reader.content(gone, name)
        assert reader.proof(gone)
    assert reader.content(4, "prompt") == PROMPT
    reader.close()


def test_control_without_secure_delete_the_key_stays_in_free_pages(victim: Path) -> None:
    key = wrapped(victim, 2)
    database = pysqlite3.dbapi2.connect(str(LogFiles(victim).keys), isolation_level=None)
    database.execute("PRAGMA secure_delete = OFF")
    database.execute("DELETE FROM dek WHERE wrapped = ?", (key,))
    database.close()
    assert key in everything(victim)


def test_44_a_crash_between_the_record_and_the_keys_is_made_good(
    victim: Path, tmp_path: Path
) -> None:
    old_keys = copy(victim, tmp_path / "old") / "keys.db"
    key = wrapped(victim, 2)
    erase(victim, "single-0")
    LogFiles(victim).keys.write_bytes(old_keys.read_bytes())  # as if they were not destroyed
    assert wrapped(victim, 2) == key
    open_log(victim).close()
    assert wrapped(victim, 2) == b""
    assert key not in everything(victim)
    assert wrapped(victim, 4)


def test_an_erasure_may_be_recorded_again(victim: Path) -> None:
    erase(victim, "single-0")
    erase(victim, "single-0")
    assert verify_log(victim).ok
