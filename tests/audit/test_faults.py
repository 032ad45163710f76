"""Each write and sync call of the writer fails or is its last (cases 32 to 34, 41 to 44, 49).

strace injects the fault into the real process: the call returns an error and does nothing, or the
process is killed in it. Then the log is opened again, and everything acknowledged must be there.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.errors import AuditRefused
from tests.audit.appender import ERASED
from tests.audit.forking import Forks, Order
from tests.audit.logs import PROMPT, ask, copy, intent, new_log, open_log
from tests.audit.segmented import ROWS, fill, open_segments
from tests.audit.test_power_loss import outcome
from tests.conftest import need_tool

pytestmark = [pytest.mark.long, pytest.mark.durable]

FAULTS = ("error=EIO", "error=ENOSPC", "error=EROFS", "signal=KILL")
CALLS = ("pwrite64", "write", "ftruncate", "fdatasync", "fsync", "rename", "unlink")
THREADS = ("main", "writer")
SEGMENT = f"log-{ROWS:016d}.db"
FILES = (
    "log.db", "log.db-wal", "keys.db", "keys.db-wal", "HEAD.new", "HEAD", "signing.next",
    "signing.pem",
    SEGMENT, f"{SEGMENT}-wal", f"{SEGMENT}.new", f"{SEGMENT}.new-wal",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A fault at the call number `when` (`N+`: and all after it) of a thread."""

    thread: str
    call: str
    what: str
    when: str


@dataclass
class Ran:
    came: int = 0
    ended: int = 0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    need_tool("strace")
    opened = Forks()
    yield opened
    opened.close()


def traced(
    forks: Forks, directory: Path, mode: str, thread: str, *options: str
) -> tuple[int, str, str]:
    """The appender with strace on the files of the log: exit status, output, trace."""
    trace = directory.with_suffix(".trace")
    paths = [part for name in FILES for part in ("-P", str(directory / name))]
    strace = [need_tool("strace"), *paths, "-P", str(directory), "-o", str(trace), *options]
    status, said = forks.run(Order(str(directory), mode, thread, strace))
    text = trace.read_text(encoding="utf-8")
    trace.unlink()
    return status, said, text


def run_with(
    forks: Forks, directory: Path, mode: str, fault: Fault, ran: Ran
) -> list[tuple[int, str]]:
    inject = f"inject={fault.call}:{fault.what}:when={fault.when}"
    options = ("-e", f"trace={fault.call}", "-e", inject)
    status, said, trace = traced(forks, directory, mode, fault.thread, *options)
    ran.came += status == -9 or "(INJECTED)" in trace
    ran.ended += status != 0
    lines = [line.split() for line in said.split("\n")[:-1]]
    return [(int(x[0]), x[1]) for x in lines if len(x) == 2]


def calls_made(forks: Forks, directory: Path, mode: str) -> dict[tuple[str, str], int]:
    found = {}
    for thread in THREADS:
        run = copy(directory, directory.with_suffix(f".{thread}"))
        trace = "trace=" + ",".join(CALLS)
        status, _, text = traced(forks, run, mode, thread, "-e", trace)
        assert status == 0
        for call in CALLS:
            found[thread, call] = len(re.findall(rf"^{call}\(", text, re.MULTILINE))
        shutil.rmtree(run)
    return found


def at_every_call(made: dict[tuple[str, str], int], what: str) -> list[Fault]:
    return [Fault(*key, what, str(n + 1)) for key, count in made.items() for n in range(count)]


def before(mode: str, directory: Path) -> Path:
    """The initial log: for `roll` a nearly full segment, for `prune` two, for `erase` a request."""
    new_log(directory)
    if mode == "erase":
        with open_log(directory) as log:
            ask(log, ERASED)
    if mode in ("roll", "prune"):
        with open_segments(directory) as log:
            fill(log, ROWS + 1 if mode == "prune" else ROWS - 3)
    return directory


def survives(forks: Forks, tmp_path: Path, faults: list[Fault], mode: str = "twenty") -> Ran:
    pristine = before(mode, tmp_path / "pristine")
    ran = Ran()
    for number, fault in enumerate(faults):
        directory = copy(pristine, tmp_path / f"log{number}")
        promised = run_with(forks, directory, mode, fault, ran)
        assert outcome(directory, promised) == "kept", fault
        if mode == "erase":
            assert texts_are_as_the_log_says(directory), fault
        shutil.rmtree(directory)
    return ran


def texts_are_as_the_log_says(directory: Path) -> bool:
    reader = LogReader(directory)
    try:
        erased = bool(reader.search(Query(kind="erase")).entries)
        asked, _ = reader.find_request(ERASED, "k1")
        try:
            return reader.content(asked.seq, "prompt") == PROMPT and not erased
        except AuditRefused:
            return erased
    finally:
        reader.close()


def test_32_33_34_49_faults_at_some_calls(forks: Forks, tmp_path: Path) -> None:
    faults = [
        Fault("main", "fsync", "error=EIO", "1"),  # in closing, which the next opening settles
        Fault("writer", "fsync", "error=EIO", "9"),
        Fault("writer", "fsync", "error=EIO", "9+"),
        Fault("writer", "fsync", "signal=KILL", "12"),
        Fault("writer", "pwrite64", "error=ENOSPC", "40"),
        Fault("writer", "pwrite64", "error=EROFS", "40+"),
        Fault("writer", "pwrite64", "signal=KILL", "60"),
    ]
    assert survives(forks, tmp_path, faults) == Ran(came=7, ended=6)


def test_control_a_fault_that_never_comes_ends_nothing(forks: Forks, tmp_path: Path) -> None:
    faults = [Fault(thread, "fsync", "signal=KILL", "60000") for thread in THREADS]
    assert survives(forks, tmp_path, faults) == Ran()


def test_control_what_was_promised_and_is_not_there_is_told(forks: Forks, tmp_path: Path) -> None:
    directory = before("four", tmp_path / "log")
    promised = run_with(
        forks, directory, "four", Fault("writer", "fsync", "signal=KILL", "15"), Ran()
    )
    assert promised
    assert outcome(directory, [*promised, (promised[-1][0] + 5, "00" * 32)]) == "lost"


def test_34_a_commit_whose_sync_failed_may_come_back(forks: Forks, tmp_path: Path) -> None:
    """The purpose of latching: afterwards entries are there that nobody was promised."""
    pristine = before("four", tmp_path / "pristine")
    back = 0
    for number in range(8, 20):
        directory = copy(pristine, tmp_path / f"log{number}")
        fault = Fault("writer", "fsync", "error=EIO", str(number))
        promised = run_with(forks, directory, "four", fault, Ran())
        reader = LogReader(directory)
        back += bool(promised) and reader.size > promised[-1][0] + 1
        reader.close()
        assert outcome(directory, promised) == "kept", fault
    assert back


def left_open(directory: Path) -> Path:
    log = open_log(new_log(directory))
    log.append(*(intent(f"open-{n}") for n in range(3))).result()
    return copy(directory, directory.with_suffix(".dead"))


def recovers(forks: Forks, tmp_path: Path, faults: list[Fault]) -> Ran:
    """The next opening closes the intents all the same."""
    dead = left_open(tmp_path / "log")
    ran = Ran()
    for number, fault in enumerate(faults):
        directory = copy(dead, tmp_path / f"log{number}")
        run_with(forks, directory, "reopen", fault, ran)
        assert outcome(directory, []) == "kept", fault
        shutil.rmtree(directory)
    return ran


def test_41_43_killed_while_it_recovers(forks: Forks, tmp_path: Path) -> None:
    at = (("fsync", "2"), ("pwrite64", "5"), ("fsync", "1"))
    faults = [Fault("main", call, "signal=KILL", when) for call, when in at]
    assert recovers(forks, tmp_path, faults) == Ran(came=3, ended=3)


STEPS = {
    "roll": ("rename", "fsync"),
    "prune": ("unlink", "fsync"),
    "epoch": ("rename", "fsync"),
    "erase": ("pwrite64", "fsync"),
}


@pytest.mark.parametrize("mode", STEPS)
def test_42_44_faults_at_some_calls_of_what_takes_steps(
    forks: Forks, tmp_path: Path, mode: str
) -> None:
    faults = [Fault("writer", call, "signal=KILL", str(n)) for call in STEPS[mode] for n in (1, 2)]
    faults += [Fault("writer", "pwrite64", "error=EIO", str(n)) for n in (1, 12)]
    ran = survives(forks, tmp_path, faults, mode)
    assert ran.came >= 4
    assert ran.ended >= 4


def told(made: dict[tuple[str, str], int], ran: Ran, faults: list[Fault]) -> None:
    """The last faults may not come about: random content keys fill a page more or less."""
    calls = ", ".join(f"{thread} {call} {n}" for (thread, call), n in made.items() if n)
    came = f"{len(faults)} faults, {ran.came} came about, {ran.ended} ended a run"
    sys.stdout.write(f"{came}: {calls}\n")
    assert ran.came >= len(faults) * 0.95
    assert ran.ended


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mode", ["roll", "prune", "epoch", "erase"])
def test_42_44_faults_at_every_call_of_what_takes_steps(
    forks: Forks, tmp_path: Path, mode: str, fault: str
) -> None:
    made = calls_made(forks, before(mode, tmp_path / "count"), mode)
    for call in STEPS[mode]:
        assert made["writer", call] > 0
    faults = at_every_call(made, fault)
    told(made, survives(forks, tmp_path, faults, mode), faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_41_faults_at_every_call_of_a_recovery(forks: Forks, tmp_path: Path, fault: str) -> None:
    made = calls_made(forks, left_open(tmp_path / "count"), "reopen")
    assert made["main", "fsync"] > 0
    faults = at_every_call(made, fault)
    told(made, recovers(forks, tmp_path, faults), faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_32_33_faults_at_every_call(forks: Forks, tmp_path: Path, fault: str) -> None:
    made = calls_made(forks, new_log(tmp_path / "count"), "four")
    assert made["writer", "fsync"] >= 5
    assert made["writer", "pwrite64"] >= 20
    faults = at_every_call(made, fault)
    if fault.startswith("error"):
        faults += [
            Fault(*key, fault, f"{n + 1}+")
            for key, count in made.items()
            for n in range(0, count, 3)
        ]
    told(made, survives(forks, tmp_path, faults, "four"), faults)
