"""The log leaves without a gap, whoever dies: real logs, real sockets."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.clock import SystemClock
from appliance.config import ForwardConfig
from appliance.db import open_database
from appliance.forwarding import forwarder as module
from appliance.forwarding.cursors import TABLES, ForwardCursor, ForwardCursors
from appliance.forwarding.forwarder import Forwarder
from appliance.forwarding.receivers import open_receiver
from tests.audit.logs import new_log, open_log
from tests.forwarding.receiving import Heap, SyslogSink, sink


@dataclass
class Site:
    log: AuditLog
    reader: LogReader
    cursors: ForwardCursors

    def write(self, count: int) -> None:
        for _ in range(count):
            self.log.append(Draft("admin", {"actor": "a", "action": "b"})).result()

    def forwarder(self, config: ForwardConfig) -> Forwarder:
        return Forwarder(
            "siem", config, self.reader, self.cursors, SystemClock(),
            lambda: open_receiver(config, 4711, Path(), self.reader),
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "_IDLE_S", 0.005)
    monkeypatch.setattr(module, "_FIRST_S", 0.01)
    monkeypatch.setattr(module, "_MOST_S", 0.02)
    new_log(tmp_path / "log")
    with ExitStack() as stack:
        log = stack.enter_context(open_log(tmp_path / "log"))
        reader = LogReader(tmp_path / "log")
        stack.callback(reader.close)
        database = open_database(tmp_path / "a.db", (TABLES,))
        stack.callback(database.dispose)
        yield Site(log, reader, ForwardCursors(database))


def until(true: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def caught_up(one: Forwarder) -> None:
    until(lambda: one.standing.behind == 0)


def config_for(made: SyslogSink, overlap: int = 60) -> ForwardConfig:
    return ForwardConfig(to=f"tcp://127.0.0.1:{made.port}", format="cef", overlap_seconds=overlap)


def test_kills_of_either_side_leave_no_gap(site: Site) -> None:
    heap, dice = Heap(), random.Random(7)
    with sink(heap) as made:
        config = config_for(made)
        one = site.forwarder(config)
        one.start()
        for _ in range(20):
            site.write(dice.randrange(1, 12))
            if dice.random() < 0.5:
                made.dropping = True  # read, and lost with the process
                site.write(3)
                caught_up(one)
                made.kill()
                made.dropping = False
                made.start()
            else:
                one.stop()
                one = site.forwarder(config)
                one.start()
        until(lambda: heap.size == site.reader.size)
        repeats = one.standing.repeats
        one.stop()
    assert heap.wrong() == ""
    assert repeats >= 0 and len(heap.kept) > heap.size


def test_without_an_overlap_a_receiver_that_dies_has_a_gap_and_the_checker_finds_it(
    site: Site,
) -> None:
    heap = Heap()
    with sink(heap) as made:
        one = site.forwarder(config_for(made, overlap=0))
        one.start()
        until(lambda: heap.size == site.reader.size)
        made.dropping = True
        site.write(3)
        until(lambda: one.standing.next == site.reader.size)
        made.kill()
        made.dropping = False
        made.start()
        site.write(1)
        until(lambda: (heap.kept[-1][0]) == site.reader.size - 1)
        one.stop()
    assert "is due" in heap.wrong()


def test_a_receiver_that_is_away_is_told_and_loses_nothing(site: Site) -> None:
    heap = Heap()
    with sink(heap) as made:
        config = config_for(made)
    one = site.forwarder(config)  # nothing listens there now
    one.start()
    site.write(600)
    until(lambda: "refused" in one.standing.problem)
    standing = one.standing
    assert (standing.behind, standing.next) == (site.reader.size, 0) and standing.oldest_us
    made.start()
    try:
        until(lambda: heap.size == site.reader.size)
        until(lambda: one.standing.problem == "")
        one.stop()
    finally:
        made.kill()
    assert heap.wrong() == ""


def test_another_log_is_sent_from_its_beginning(site: Site) -> None:
    site.write(5)
    site.cursors.write("siem", ForwardCursor(4, bytes(32)))  # of a log that was put back
    heap = Heap()
    with sink(heap) as made:
        one = site.forwarder(config_for(made))
        one.start()
        until(lambda: heap.size == site.reader.size)
        one.stop()
    assert heap.kept[0][0] == 0 and heap.wrong() == ""


def test_a_cursor_moves_only_behind_what_was_sent(site: Site) -> None:
    site.write(3)
    heap, others = Heap(), set(threading.enumerate())
    with sink(heap) as made:
        one = site.forwarder(replace(config_for(made), overlap_seconds=3_600))
        one.start()
        until(lambda: heap.size == site.reader.size)
        assert (one.standing.next, one.standing.behind) == (0, 0)
        one.stop()
    assert site.cursors.read("siem").next == 0
    until(lambda: not set(threading.enumerate()) - others)


def test_a_cursor_is_written_now_and_then_and_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WRITE_S", 3_600.0)
    with sink(Heap()) as made:
        one = site.forwarder(config_for(made, overlap=0))
        one.start()
        until(lambda: one.standing.next == site.reader.size)
        first = site.reader.size
        site.write(3)
        until(lambda: one.standing.next == site.reader.size)
        assert site.cursors.read("siem").next <= first
        one.stop()
    assert site.cursors.read("siem").next == site.reader.size
