"""Reading: pages, requests, texts, proofs; and refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.store import DAMAGE
from appliance.errors import AuditRefused, NotFound, StateRefused
from tests.audit.logs import (
    ANSWER,
    PROMPT,
    Intruder,
    admin,
    ask,
    consistent,
    intent,
    new_log,
    open_log,
)


@pytest.fixture
def reader(pristine: Path) -> Iterator[LogReader]:
    opened = LogReader(pristine)
    yield opened
    opened.close()


@pytest.fixture
def victims(victim: Path) -> Iterator[LogReader]:
    opened = LogReader(victim)
    yield opened
    opened.close()


def test_entries_by_number(reader: LogReader) -> None:
    assert reader.size == 40
    assert [reader.entry(n).seq for n in (0, 20, 39)] == [0, 20, 39]
    assert [reader.entry(n).kind for n in (0, 1, 2, 3)] == ["genesis", "start", "intent", "outcome"]
    for absent in (-1, 40, 10**12):
        with pytest.raises(NotFound):
            reader.entry(absent)


def test_the_newest_entries(reader: LogReader) -> None:
    assert [e.seq for e in reader.tail(3)] == [37, 38, 39]
    assert len(reader.tail(1_000_000)) == 40
    assert reader.tail(0) == []


def test_search_by_each_field_and_all_together(reader: LogReader) -> None:
    assert [e.seq for e in reader.search(Query(kind="start")).entries] == [1]
    assert [e.seq for e in reader.search(Query(request_id="single-1")).entries] == [4, 5]
    assert [e.seq for e in reader.search(Query(model="m1", limit=3)).entries] == [2, 4, 6]
    assert [e.seq for e in reader.search(Query(key_id="k1", after=10, limit=2)).entries] == [12, 14]
    assert [
        e.seq for e in reader.search(Query(kind="intent", request_id="batch-7", model="m1")).entries
    ] == [21]
    assert reader.search(Query(kind="intent", model="other")).entries == []
    assert len(reader.search(Query()).entries) == 40


def test_search_by_time(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    base = LogReader(directory).entry(0).time_us
    with open_log(directory) as log:
        log.append(admin("a")).result()
    found = LogReader(directory)
    assert len(found.search(Query(since_us=base)).entries) == 2
    assert found.search(Query(since_us=base + 1)).entries == []
    assert found.search(Query(until_us=base)).entries == []
    assert len(found.search(Query(since_us=base, until_us=base + 1)).entries) == 2


def test_pages_cover_everything_once(reader: LogReader) -> None:
    seen: list[int] = []
    while page := reader.search(Query(after=seen[-1] if seen else None, limit=7)).entries:
        seen += [e.seq for e in page]
    assert seen == list(range(40))


def test_a_page_is_bounded(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for _ in range(3):
            log.append(*(admin(str(n)) for n in range(500))).result()
    assert len(LogReader(directory).search(Query(limit=1_000_000)).entries) == 1_000
    assert LogReader(directory).search(Query(limit=-5)).entries == []


def test_a_value_is_a_value_and_never_sql(reader: LogReader) -> None:
    assert reader.search(Query(kind="' OR 1=1 --")).entries == []
    assert reader.search(Query(request_id='"; DROP TABLE leaf; --')).entries == []
    assert reader.size == 40


def test_a_request_is_found_by_its_own_key_only(reader: LogReader) -> None:
    asked, answered = reader.find_request("single-3", "k1")
    assert answered is not None
    assert (asked.kind, answered.kind, answered.body["intent"]) == ("intent", "outcome", asked.seq)
    for request, key in [("single-3", "k2"), ("other", "k1"), ("", "")]:
        with pytest.raises(NotFound):
            reader.find_request(request, key)


def test_a_request_without_an_outcome_yet(victim: Path, victims: LogReader) -> None:
    with open_log(victim) as log:
        log.append(intent("running")).result()
        asked, answered = victims.find_request("running", "k1")
        assert asked.seq == 40
        assert answered is None


def test_texts_come_back(reader: LogReader) -> None:
    assert reader.content(2, "prompt") == PROMPT
    assert reader.content(3, "completion") == ANSWER
    for seq, name in [(2, "completion"), (1, "prompt"), (39, "prompt")]:
        with pytest.raises(AuditRefused) as caught:
            reader.content(seq, name)
        assert caught.value.code == "content_unavailable"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE content SET ct = (SELECT ct FROM content WHERE seq = 4) WHERE seq = 2",
        "UPDATE content SET nonce = zeroblob(12) WHERE seq = 2",
        "DELETE FROM content WHERE seq = 2",
    ],
)
def test_a_ciphertext_that_was_changed_is_not_shown(
    victim: Path, victims: LogReader, change: str
) -> None:
    Intruder(victim).sql(change)
    with pytest.raises(AuditRefused, match="not what the entry names"):
        victims.content(2, "prompt")


def test_texts_need_the_key_encryption_key(victim: Path, victims: LogReader) -> None:
    (victim / "kek").write_bytes(bytes(32))
    with pytest.raises(AuditRefused, match="does not unwrap"):
        victims.content(2, "prompt")
    (victim / "kek").unlink()
    with pytest.raises(AuditRefused) as caught:
        victims.content(2, "prompt")
    assert caught.value.code == "audit_key_invalid"


@pytest.mark.parametrize("seq", [0, 1, 7, 14, 22, 39])
def test_every_proof_checks_with_the_genesis_key_alone(
    reader: LogReader, pristine: Path, seq: int
) -> None:
    result = check_proof(reader.proof(seq), (pristine / "genesis.pub").read_bytes())
    assert (result.seq, result.size) == (seq, 40)
    assert result.body == reader.entry(seq).body


def test_a_proof_of_an_entry_that_is_not_there(reader: LogReader) -> None:
    with pytest.raises(NotFound):
        reader.proof(40)


def test_proofs_in_a_log_with_stored_nodes(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(*(admin(str(n)) for n in range(300))).result()
        log.append(*(admin(str(n)) for n in range(399))).result()
    reader, key = LogReader(directory), (directory / "genesis.pub").read_bytes()
    for seq in (0, 100, 255, 256, 511, 512, 699):
        assert check_proof(reader.proof(seq), key).size == 700


def test_a_proof_that_does_not_hold_does_not_leave(victim: Path, victims: LogReader) -> None:
    Intruder(victim).change(20, lambda row: consistent(row, time_us=1))
    with pytest.raises(AuditRefused) as caught:
        victims.proof(5)
    assert caught.value.code == "audit_corrupt"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE leaf SET body = x'7b7d' WHERE seq = 20",
        "UPDATE leaf SET hash = zeroblob(32) WHERE seq = 20",
        "UPDATE leaf SET prev = randomblob(32) WHERE seq = 20",
        "UPDATE leaf SET seq = 99 WHERE seq = 20",
    ],
)
def test_a_row_that_does_not_verify_is_not_handed_out(
    victim: Path, victims: LogReader, change: str
) -> None:
    Intruder(victim).sql(change)
    seq = 99 if "99" in change else 20
    with pytest.raises(AuditRefused) as caught:
        victims.entry(seq)
    assert caught.value.code == "audit_corrupt"


def test_the_body_decides_and_not_the_index(victim: Path, victims: LogReader) -> None:
    intruder = Intruder(victim)
    rows = intruder.rows()
    intruder.sql("DROP TABLE leaf", "CREATE TABLE leaf (seq INTEGER PRIMARY KEY, prev, hash, "
                 "body, kind, time_us, request_id, key_id, model, intent)")  # fmt: skip
    for row in rows:
        intruder.sql(
            "INSERT INTO leaf VALUES (?, ?, ?, ?, 'stop', 0, 'r', 'k', 'm', NULL)",
            values=(row.seq, row.prev, row.hash, row.body),
        )
    with pytest.raises(AuditRefused, match="not what its indexes say"):
        victims.search(Query(kind="stop"))


def test_readers_cannot_write(reader: LogReader) -> None:
    with reader._log.open() as log, pytest.raises(DAMAGE, match="readonly"):
        log.newest.dbapi.execute("DELETE FROM leaf")


def test_reading_goes_on_while_the_log_is_written(victim: Path, victims: LogReader) -> None:
    with open_log(victim) as log:
        for n in range(20):
            asked, answered = ask(log, f"r{n}")
            assert victims.entry(answered.seq).leaf == answered.leaf
            key = (victim / "genesis.pub").read_bytes()
            assert check_proof(victims.proof(asked.seq), key).size == log.size


def test_no_log_no_reader(tmp_path: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        LogReader(tmp_path)
    assert caught.value.code == "data_missing"
