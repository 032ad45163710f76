"""Appending: receipts, order, atomic groups, bounds, and a refusing disk."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from appliance.audit import entry, ocsf
from appliance.audit import log as log_module
from appliance.audit.checkpoint import VerifierKey, verify
from appliance.audit.log import AuditLog, Draft, Receipt
from appliance.audit.merkle import leaf_hash
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import (
    AuditRefused,
    StateRefused,
    UsageError,
)
from tests.audit.logs import PROMPT, admin, ask, intent, new_log, open_log, outcome
from tests.audit.writing import checkpoint_sizes, refusal, writer_held


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return new_log(tmp_path / "log")


@pytest.fixture
def log(directory: Path) -> Iterator[AuditLog]:
    with open_log(directory) as opened:
        yield opened


def test_a_receipt_names_an_entry_that_is_there_and_signed(log: AuditLog, directory: Path) -> None:
    (receipt,) = log.append(intent("r1")).result()
    reader = LogReader(directory)
    entry = reader.entry(receipt.seq)
    assert leaf_hash(entry.raw) == receipt.leaf == entry.leaf
    key = VerifierKey.parse((directory / "genesis.pub").read_bytes())
    assert verify(reader.checkpoint().encode(), key).size == receipt.size == log.size == 2


def test_what_the_log_adds_to_an_entry(directory: Path) -> None:
    clock = FixedClock(123_456)
    with open_log(directory, clock=clock) as log:
        log.append(intent("r1")).result()
        clock.advance(1)
        log.append(admin("x")).result()
    first, second = (e.body for e in LogReader(directory).tail(2))
    genesis = LogReader(directory).entry(0)
    assert first["prev"] == genesis.leaf.hex()
    assert (first["seq"], first["epoch"], first["v"]) == (1, 0, 1)
    assert (first["time_us"], second["time_us"]) == (123_456, 1_123_456)
    assert first["boot_id"] == second["boot_id"] != ""
    mono = [first["mono_us"], second["mono_us"]]
    assert mono == sorted(mono, key=lambda us: us if isinstance(us, int) else -1)


def test_a_wall_clock_that_steps_back_is_recorded_as_it_is(directory: Path) -> None:
    clock = FixedClock()
    with open_log(directory, clock=clock) as log:
        log.append(admin("now")).result()
        clock.advance(-86_400)
        log.append(admin("yesterday")).result()
    assert verify_log(directory).ok


def test_a_group_stands_together(log: AuditLog, directory: Path) -> None:
    receipts = log.append(admin("a"), admin("b"), admin("c")).result()
    assert [r.seq for r in receipts] == [1, 2, 3]
    assert {r.size for r in receipts} == {4}
    assert checkpoint_sizes(directory) == [1, 4]


def test_a_group_with_one_bad_draft_leaves_nothing(log: AuditLog) -> None:
    bad = Draft("admin", {"actor": "uid:0"})
    assert refusal(log.append(intent("r1"), bad)).code == "audit_entry_invalid"
    (receipt,) = log.append(intent("r1")).result()
    assert receipt.seq == 1
    log.append(outcome(1, "r1")).result()


def test_a_bad_draft_fails_alone(log: AuditLog, directory: Path) -> None:
    with writer_held(log):
        futures = [
            log.append(draft)
            for draft in (
                admin("good"),
                Draft("admin", {}),
                Draft("admin", {"actor": "a", "action": "x" * 70_000}),
                Draft("nonsense", {}),
                Draft("admin", {"actor": "a", "action": "a", "seq": 9}),
                outcome(77, "r1"),
                admin("also good"),
            )
        ]
    assert [f.exception() is None for f in futures] == [True, *[False] * 5, True]
    assert {refusal(f).code for f in futures[1:6]} == {"audit_entry_invalid"}
    assert log.latched is None
    log.close()
    assert verify_log(directory).ok


def test_an_outcome_closes_its_intent_once(log: AuditLog) -> None:
    (asked,) = log.append(intent("r1")).result()
    assert "not an open intent" in refusal(log.append(outcome(asked.seq, "other"))).message
    assert "not an open intent" in refusal(
        log.append(outcome(asked.seq, "r1"), outcome(asked.seq, "r1"))
    ).message  # fmt: skip
    log.append(outcome(asked.seq, "r1")).result()
    assert "not an open intent" in refusal(log.append(outcome(asked.seq, "r1"))).message


def test_what_was_handed_over_cannot_be_cancelled(log: AuditLog) -> None:
    with writer_held(log):
        future = log.append(admin("x"))
        assert not future.cancel()
    assert future.result()[0].seq == 2


def test_what_waits_is_committed_together_and_in_order(log: AuditLog, directory: Path) -> None:
    with writer_held(log):
        futures = [log.append(admin(str(n))) for n in range(100)]
    assert [f.result()[0].seq for f in futures] == list(range(2, 102))
    assert checkpoint_sizes(directory) == [1, 2, 102]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit waits until all clients that were just answered are back."""
    monkeypatch.setattr(log_module, "GATHER", 1e6)


def three_after_two(
    log: AuditLog, seconds: float | None = 0.1
) -> list[Future[tuple[Receipt, ...]]]:
    """Two entries of one commit, then three more, one by one.

    `seconds` is the longest wait for one before the next.
    """
    with writer_held(log):
        two = [log.append(admin(str(n))) for n in range(2)]
    wait(two)
    three = []
    for number in range(3):
        three.append(log.append(admin(str(number))))
        wait(three, timeout=seconds)
    return three


@pytest.mark.usefixtures("patient")
def test_a_commit_waits_for_the_clients_that_the_last_one_answered(
    log: AuditLog, directory: Path
) -> None:
    three_after_two(log)[-1].result()
    assert checkpoint_sizes(directory) == [1, 2, 4, 7]


def test_control_it_waits_for_nobody_who_does_not_come(log: AuditLog, directory: Path) -> None:
    three_after_two(log, None)[-1].result()
    assert checkpoint_sizes(directory) == [1, 2, 4, 5, 6, 7]


def one_by_one(log: AuditLog, requests: int, seconds: float | None = None) -> None:
    """So many requests begin in one commit, and end one after the other.

    `seconds` is the longest wait for one before the next.
    """
    with writer_held(log):
        asked = [log.append(intent(f"r{n}")) for n in range(requests)]
    ends = []
    for number, future in enumerate(asked):
        ends.append(log.append(outcome(future.result()[0].seq, f"r{number}")))
        wait(ends, timeout=seconds)
    wait(ends)


def test_entries_of_a_crowd_share_a_commit(
    log: AuditLog, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "CROWD_SECONDS", 1e6)
    one_by_one(log, log_module.CROWD + 1, 0.1)
    assert checkpoint_sizes(directory) == [1, 2, 5, 8]
    one_by_one(log, log_module.CROWD)  # the control: fewer wait for nobody
    assert checkpoint_sizes(directory)[4:] == [9, 11, 12, 13]


def test_a_crowd_waits_no_longer_than_its_time(log: AuditLog, directory: Path) -> None:
    one_by_one(log, log_module.CROWD + 1)
    assert checkpoint_sizes(directory) == [1, 2, 5, 6, 7, 8]


@pytest.mark.usefixtures("patient")
def test_a_commit_that_is_full_waits_for_nobody(
    log: AuditLog, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_BATCH", 3)
    three_after_two(log)[-1].result()
    for waiting in [log.append(admin(str(n))) for n in range(3)]:
        waiting.result()
    assert checkpoint_sizes(directory) == [1, 2, 4, 7, 10]


@pytest.mark.usefixtures("patient")
def test_closing_waits_for_no_client(log: AuditLog) -> None:
    release = threading.Event()
    with writer_held(log):
        two = [log.append(admin(str(n))) for n in range(2)]
        two[-1].add_done_callback(lambda _: release.wait())
    wait(two)
    last = log.append(admin("last"))
    closing = threading.Thread(target=log.close)
    closing.start()
    while log.latched is None:
        pass
    release.set()
    closing.join()
    assert last.result()[0].seq == 4


def test_sixty_four_threads_share_commits_and_keep_their_order(
    log: AuditLog, directory: Path
) -> None:
    receipts: dict[int, list[Receipt]] = {n: [] for n in range(64)}

    def work(number: int) -> None:
        for i in range(5):
            receipts[number] += ask(log, f"{number}-{i}")

    threads = [threading.Thread(target=work, args=(n,)) for n in receipts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    entries = {e.seq: e for e in LogReader(directory).search(Query(limit=1_000)).entries}
    assert len(entries) == 1 + 64 * 10
    for number, got in receipts.items():
        assert [r.seq for r in got] == sorted(r.seq for r in got)
        for i, receipt in enumerate(got):
            assert entries[receipt.seq].leaf == receipt.leaf
            assert entries[receipt.seq].body["request_id"] == f"{number}-{i // 2}"
    everything = [r for got in receipts.values() for r in got]
    report = verify_log(directory, receipts=everything)
    assert report.ok
    assert len(checkpoint_sizes(directory)) < len(entries)


def test_closing_commits_what_waits_and_leaves_one_file_per_database(
    log: AuditLog, directory: Path
) -> None:
    with writer_held(log):
        futures = [log.append(intent(str(n))) for n in range(50)]
        closing = threading.Thread(target=log.close)
        closing.start()
    closing.join()
    assert all(f.result() for f in futures)
    names = {path.name for path in directory.iterdir()}
    assert names == {"log.db", "keys.db", "genesis.pub", "signing.pem", "kek", "HEAD"}
    assert (directory / "HEAD").read_bytes() == LogReader(directory).checkpoint().encode()


def test_a_closed_log_refuses(log: AuditLog) -> None:
    log.close()
    log.close()
    assert log.latched == "The audit log is closed."
    assert refusal(log.append(admin("x"))).code == "audit_unavailable"


def test_an_unknown_content_mode_is_refused(directory: Path) -> None:
    with pytest.raises(UsageError):
        open_log(directory, content="plain")


def test_a_second_writer_is_refused(log: AuditLog, directory: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        open_log(directory)
    assert caught.value.code == "data_locked"
    log.append(admin("still works")).result()
    log.close()
    open_log(directory).close()


def test_head_follows_while_the_log_is_open(
    log: AuditLog, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "HEAD_SECONDS", 0.0)
    log.append(admin("a")).result()
    log.append(admin("b")).result()  # begins after HEAD was written for the first
    assert (directory / "HEAD").read_bytes().split(b"\n")[1] in (b"2", b"3")


def test_head_that_cannot_be_written_stops_nothing(
    log: AuditLog, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "HEAD_SECONDS", 0.0)
    (directory / "HEAD.new").mkdir()
    log.append(admin("a")).result()
    log.append(admin("b")).result()
    assert log.latched is None
    (directory / "HEAD.new").rmdir()
    log.append(admin("c")).result()
    log.close()
    assert verify_log(directory).ok


# Bounds.


@pytest.mark.parametrize("mode", ["encrypted", "commit-only", "off"])
def test_what_each_mode_keeps(directory: Path, mode: str) -> None:
    with open_log(directory, content=mode) as log:
        ask(log, "r1")
    reader = LogReader(directory)
    content = reader.entry(1).body["content"]
    assert isinstance(content, dict)
    assert content["mode"] == mode
    if mode == "encrypted":
        assert reader.content(1, "prompt") == PROMPT
    else:
        with pytest.raises(AuditRefused, match="not kept"):
            reader.content(1, "prompt")
    files = b"".join(path.read_bytes() for path in directory.iterdir())
    assert PROMPT not in files
    assert verify_log(directory).ok


def test_an_entry_without_texts_has_no_content_field(log: AuditLog, directory: Path) -> None:
    log.append(admin("x")).result()
    assert "content" not in LogReader(directory).entry(1).body


def test_a_log_with_entries_of_a_newer_release_goes_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release that comes back opens, verifies, finds and follows them."""
    with monkeypatch.context() as newer, open_log(directory) as log:
        newer.setitem(entry.KINDS, "replay", {})
        newer.setattr(entry, "_FIELDS", entry._NEWER)
        log.append(Draft("replay", {"model": "m", "found": 3})).result()
    with open_log(directory) as log:
        log.append(admin("after")).result()
    reader = LogReader(directory)
    (found,) = reader.search(Query(kind="replay")).entries
    assert found.body["found"] == 3 and "replay" in next(ocsf.events(iter([found]), "origin"))
    reader.close()
    assert verify_log(directory).ok
