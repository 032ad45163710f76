"""The log leaves without a gap: kills of either side, a day without a receiver, a restore."""

import multiprocessing
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.auth import certificates
from appliance.clock import FixedClock, SystemClock
from appliance.config import ForwardConfig
from appliance.db import open_database
from appliance.forwarding import forwarder as module
from appliance.forwarding.cursors import TABLES, ForwardCursors
from appliance.forwarding.forwarder import Forwarder
from appliance.forwarding.receivers import open_receiver
from appliance.incidents.facts import Facts, ReceiverFact
from appliance.incidents.rules import alarms
from tests.audit.logs import new_log, open_log
from tests.forwarding.receiving import Heap, SyslogSink, sink
from tests.forwarding.test_forwarder import until
from tests.routing.upstreams.test_connection import client, server
from tests.system.forwarding_child import forward

DAY_S = 86_400
KILLS = 5
"""Of each side in each of the ten cases."""


def write(log: AuditLog, count: int) -> None:
    for _ in range(count):
        log.append(Draft("admin", {"actor": "a", "action": "b"})).result()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    certificates.issue(tmp_path / "tls", ["localhost"], SystemClock())
    client(tmp_path / "mine", days=9)
    new_log(tmp_path / "log")
    return tmp_path


def config_for(made: SyslogSink, overlap: int) -> ForwardConfig:
    return ForwardConfig(
        to=f"tls://localhost:{made.port}", ca="tls/ca.pem", certificate="mine/c.pem",
        key="mine/c.key", format="cef", overlap_seconds=overlap,
    )  # fmt: skip


@pytest.mark.swept
@pytest.mark.parametrize("seed", range(10))
def test_kills_of_either_side(root: Path, seed: int) -> None:
    dice, heap = random.Random(seed), Heap()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.system.forwarding_child"])
    with (
        open_log(root / "log") as log,
        sink(heap, server(root / "tls", client_ca=root / "mine" / "ca.pem")) as made,
    ):
        wanted = (root, config_for(made, overlap=60))
        child = context.Process(target=forward, args=wanted, daemon=True)
        child.start()
        sides = [True, False] * KILLS
        dice.shuffle(sides)
        for receiver in sides:
            write(log, dice.randrange(1, 20))
            due = dice.randrange(heap.size, log.size + 1)
            until(lambda due=due: heap.size >= due)  # type: ignore[misc]
            if receiver:
                made.dropping = dice.random() < 0.5  # what it has read and not written is lost
                write(log, 3)
                time.sleep(dice.random() / 10)  # killed before, while and after it takes them
                made.kill()
                made.dropping = False
                made.start()
            else:
                child.kill()
                child.join()
                child = context.Process(target=forward, args=wanted, daemon=True)
                child.start()
        until(lambda: heap.size == log.size)
        child.kill()
        child.join()
        assert len(heap.kept) > heap.size  # repeats, each with the leaf of the first
    assert heap.wrong() == ""
    planted = Heap([one for one in heap.kept if one[0] != heap.size // 2])
    assert "is due" in planted.wrong()
    twice = Heap([*heap.kept, (3, "0" * 64)])
    assert "differs" in twice.wrong()


@contextmanager
def forwarding(
    root: Path, config: ForwardConfig, clock: FixedClock, database: Path
) -> Iterator[Forwarder]:
    with ExitStack() as stack:
        reader = LogReader(root / "log")
        stack.callback(reader.close)
        opened = open_database(database, (TABLES,))
        stack.callback(opened.dispose)
        one = Forwarder(
            "siem", config, reader, ForwardCursors(opened), clock,
            lambda: open_receiver(config, 4711, root, reader),
        )  # fmt: skip
        one.start()
        stack.callback(one.stop)
        yield one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_IDLE_S", 0.005), ("_FIRST_S", 0.01), ("_MOST_S", 0.02)):
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("impatient")
def test_a_day_without_a_receiver(root: Path) -> None:
    heap, clock = Heap(), FixedClock()
    with (
        open_log(root / "log", clock=clock) as log,
        sink(heap, server(root / "tls", client_ca=root / "mine" / "ca.pem")) as made,
        forwarding(root, config_for(made, overlap=60), clock, root / "a.db") as one,
    ):
        write(log, 3)
        until(lambda: heap.size == log.size)
        made.kill()
        until(lambda: bool(one.standing.problem))
        for _ in range(24):
            write(log, 40)
            clock.advance(DAY_S / 24)
        standing = one.standing
        assert standing.behind == 24 * 40
        assert standing.oldest_us is not None
        assert clock.wall_us() - standing.oldest_us == DAY_S * 1_000_000
        told = ReceiverFact(
            standing.name, standing.to, standing.behind, standing.oldest_us, standing.problem,
            standing.since_us,
        )  # fmt: skip
        (alarm,) = alarms(Facts(clock.wall_us(), receivers=(told,)))
        assert alarm.code == "receiver_behind" and "lacks 960 entries" in alarm.message
        made.start()
        until(lambda: heap.size == log.size and not one.standing.problem)
    assert heap.wrong() == ""
    assert [seq for seq, _ in heap.kept].count(heap.size - 1) == 1


@pytest.mark.usefixtures("impatient")
def test_a_restored_log_goes_on_and_the_receiver_sees_the_fork(root: Path) -> None:
    """Log and cursors are of one backup; the receiver has entries that it lacks."""
    heap, clock = Heap(), FixedClock()
    with sink(heap, server(root / "tls", client_ca=root / "mine" / "ca.pem")) as made:
        wanted = config_for(made, overlap=0)
        with (
            open_log(root / "log", clock=clock) as log,
            forwarding(root, wanted, clock, root / "a.db") as one,
        ):
            write(log, 5)
            until(lambda: one.standing.next == log.size)
        other = root / "other"
        for name in ("log", "tls", "mine"):
            shutil.copytree(root / name, other / name)
        shutil.copy(root / "a.db", other / "a.db")
        with (
            open_log(root / "log", clock=clock) as log,
            forwarding(root, wanted, clock, root / "a.db") as one,
        ):
            write(log, 4)
            until(lambda: one.standing.next == heap.size == log.size)
        assert heap.wrong() == ""
        before = len(heap.kept)
        clock.advance(DAY_S)
        with (
            open_log(other / "log", clock=clock) as log,
            forwarding(other, wanted, clock, other / "a.db") as one,
        ):
            write(log, 2)
            until(lambda: one.standing.next == log.size and len(heap.kept) == before + 2)
    again = [seq for seq, _ in heap.kept[before:]]
    assert again == [6, 7]  # it goes on where the backup was, and sends nothing from before
    assert heap.wrong() == "entry 6 came twice and differs"
