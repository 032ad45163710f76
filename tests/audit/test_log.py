"""Appending: receipts, order, atomic groups, bounds, and what happens when the disk says no."""

import resource
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit import log as log_module
from appliance.audit.checkpoint import VerifierKey, verify
from appliance.audit.log import AuditLog, Draft, Receipt
from appliance.audit.merkle import leaf_hash
from appliance.audit.reader import LogReader
from appliance.audit.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import (
    ApplianceError,
    AuditRefused,
    AuditUnavailable,
    StateRefused,
    UsageError,
)
from appliance.types import Json
from tests.audit.logs import PROMPT, Intruder, admin, ask, intent, new_log, open_log, outcome


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return new_log(tmp_path / "log")


@pytest.fixture
def log(directory: Path) -> Iterator[AuditLog]:
    with open_log(directory) as opened:
        yield opened


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
    entries = {e.seq: e for e in LogReader(directory).search(limit=1_000)}
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


def test_a_full_queue_refuses_new_work_and_takes_outcomes(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING", 5)
    (asked,) = log.append(intent("r1")).result()
    with writer_held(log):
        waiting = [log.append(admin(str(n))) for n in range(5)]
        refused = log.append(admin("one too many"))
        ending = log.append(outcome(asked.seq, "r1"))
    assert "wait for the disk" in refusal(refused).message
    assert all(f.result() for f in [*waiting, ending])
    assert log.append(admin("again")).result()


def test_waiting_bytes_are_bounded(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING_BYTES", 1_000)
    with writer_held(log):
        taken = log.append(intent("r1", b"x" * 900))
        refused = log.append(intent("r2", b"x" * 101))
    assert refusal(refused).code == "audit_unavailable"
    taken.result()
    assert log.append(intent("r2", b"x" * 900)).result()


# Content modes.


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


# The disk.


def test_a_failed_commit_latches_until_the_log_is_opened_again(directory: Path) -> None:
    log = open_log(directory)
    (asked,) = log.append(intent("r1")).result()
    with file_size_limit((directory / "log.db-wal").stat().st_size + 5_000):
        lost = log.append(intent("r2", bytes(100_000)))
        assert refusal(lost).code == "audit_unavailable"
    assert isinstance(lost.exception(), AuditUnavailable)
    assert log.latched is not None
    assert "until it is opened again" in log.latched
    # The disk is fine again, but what is on it is not known.
    for draft in (admin("x"), outcome(asked.seq, "r1")):
        assert refusal(log.append(draft)).code == "audit_unavailable"
    log.close()
    with open_log(directory) as again:
        assert again.latched is None
        again.append(admin("x")).result()
    last = LogReader(directory).search(kind="outcome")[0].body
    assert (last["intent"], last["status"]) == (asked.seq, "unknown")
    assert verify_log(directory).ok


def test_everything_that_waited_behind_a_failed_commit_fails(directory: Path) -> None:
    log = open_log(directory)
    with file_size_limit((directory / "log.db-wal").stat().st_size + 5_000):
        with writer_held(log):
            futures = [log.append(intent(str(n), bytes(100_000))) for n in range(600)]
        codes = {refusal(f).code for f in futures}
    assert codes == {"audit_unavailable"}
    log.close()


def test_keys_that_cannot_be_stored_latch_too(directory: Path) -> None:
    log = open_log(directory)
    log.append(admin("x")).result()
    with file_size_limit((directory / "log.db-wal").stat().st_size):
        assert refusal(log.append(intent("r1"))).code == "audit_unavailable"
    assert log.latched is not None
    log.close()
    open_log(directory).close()


def test_below_the_reserve_only_ends_of_work_are_recorded(directory: Path) -> None:
    with open_log(directory) as log:
        (asked,) = log.append(intent("r1")).result()
        log.close()
    reserve = 1 << 60
    with open_log(directory, reserve=reserve) as log:
        # Opening closed the intent, although space is short.
        assert LogReader(directory).find_request("r1", "k1")[1] is not None
        assert log.latched is not None
        assert "MiB are free" in log.latched
        for draft in (intent("r2"), admin("x"), Draft("start", {})):
            refused = refusal(log.append(draft))
            assert refused.code == "audit_unavailable"
            assert "MiB are free" in refused.message
        worker: dict[str, Json] = {"model": "m1", "event": "exit"}
        assert log.append(Draft("worker", worker), Draft("stop", {})).result()
        mixed = log.append(Draft("stop", {}), admin("x"))
        assert refusal(mixed).code == "audit_unavailable"
    assert asked.seq == 1
    assert verify_log(directory).ok


def test_an_outcome_passes_below_the_reserve(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(directory, reserve=1) as log:
        (asked,) = log.append(intent("r1")).result()
        monkeypatch.setattr(log, "_reserve", 1 << 60)
        assert refusal(log.append(intent("r2"))).code == "audit_unavailable"
        assert log.append(outcome(asked.seq, "r1")).result()
        monkeypatch.setattr(log, "_reserve", 1)
        assert log.latched is None
        assert log.append(intent("r2")).result()


def test_an_unreachable_directory_counts_as_a_shortage(directory: Path, tmp_path: Path) -> None:
    with open_log(directory) as log:
        directory.rename(tmp_path / "elsewhere")
        assert log.latched is not None
        assert "cannot be reached" in log.latched
        (tmp_path / "elsewhere").rename(directory)
        assert log.latched is None


def test_a_long_wal_is_moved_into_the_database(directory: Path) -> None:
    with open_log(directory) as log:
        before = (directory / "log.db").stat().st_size
        for n in range(40):
            log.append(intent(str(n), bytes(1 << 19))).result()
        log.append(admin("x")).result()
        assert (directory / "log.db").stat().st_size > before + (4 << 20)
    assert verify_log(directory).ok


def test_an_intruder_beside_a_running_log_is_found_by_the_next_opening(directory: Path) -> None:
    with open_log(directory) as log:
        log.append(admin("a"), admin("b")).result()
    Intruder(directory).sql("UPDATE leaf SET body = x'7b7d' WHERE seq = 1")
    with pytest.raises(AuditRefused) as caught:
        open_log(directory)
    assert caught.value.code == "audit_corrupt"
