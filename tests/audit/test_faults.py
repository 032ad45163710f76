"""Each write and sync call of the writer fails or is its last (cases 32 to 34).

The fault is injected into the real process by strace: the call returns EIO or ENOSPC, or the
process is killed in it. Then the log is opened again, and everything that was acknowledged
must be there.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit.logs import copy, intent, new_log, open_log
from tests.audit.segmented import ROWS, fill, open_segments
from tests.audit.test_power_loss import outcome
from tests.conftest import need_tool

CHECKOUT = Path(__file__).parents[2]
FAULTS = ("error=EIO", "error=ENOSPC", "error=EROFS", "signal=KILL")
CALLS = ("pwrite64", "write", "ftruncate", "fdatasync", "fsync", "rename", "unlink")
SEGMENT = f"log-{ROWS:016d}.db"
FILES = (
    "log.db", "log.db-wal", "keys.db", "keys.db-wal", "HEAD.new", "HEAD", "signing.next",
    SEGMENT, f"{SEGMENT}-wal", f"{SEGMENT}.new", f"{SEGMENT}.new-wal",
)  # fmt: skip


def strace(directory: Path, mode: str, *options: str) -> tuple[int, str]:
    """The appender under strace, which looks at the files of the log only; status and output."""
    paths = [part for name in FILES for part in ("-P", str(directory / name))]
    command = [need_tool("strace"), "-f", *paths, "-P", str(directory), *options,
               sys.executable, "-m", "tests.audit.appender", str(directory), mode]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    return done.returncode, done.stdout


def run_with(
    directory: Path, mode: str, call: str, fault: str, when: str
) -> tuple[int, list[tuple[int, str]]]:
    """The appender's exit status and what it was promised."""
    inject = f"inject={call}:{fault}:when={when}"
    status, said = strace(directory, mode, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    lines = [line.split() for line in said.split("\n")[:-1]]
    return status, [(int(x[0]), x[1]) for x in lines if len(x) == 2]


def calls_made(directory: Path, mode: str) -> dict[str, int]:
    """How often a whole run makes each call on the files of the log."""
    trace = directory.with_suffix(".calls")
    status, _ = strace(directory, mode, "-o", str(trace), "-e", "trace=" + ",".join(CALLS))
    assert status == 0
    text = trace.read_text(encoding="utf-8")
    return {call: len(re.findall(rf"\b{call}\(", text)) for call in CALLS}


def before(mode: str, directory: Path) -> Path:
    """What the appender finds: for `roll` a segment that is nearly full, for `prune` two."""
    new_log(directory)
    if mode in ("roll", "prune"):
        with open_segments(directory) as log:
            fill(log, ROWS + 1 if mode == "prune" else ROWS - 3)
    return directory


def survives(tmp_path: Path, calls: list[tuple[str, str, str]], mode: str = "twenty") -> int:
    """How many of the runs the fault ended; none may lose what was acknowledged."""
    pristine = before(mode, tmp_path / "pristine")
    ended = 0
    for number, (call, fault, when) in enumerate(calls):
        directory = copy(pristine, tmp_path / f"log{number}")
        status, promised = run_with(directory, mode, call, fault, when)
        ended += status != 0
        assert outcome(directory, promised) == "kept", (call, fault, when)
        shutil.rmtree(directory)
    return ended


def test_32_33_34_49_faults_at_some_calls(tmp_path: Path) -> None:
    calls = [
        ("fsync", "error=EIO", "9"),
        ("fsync", "error=EIO", "9+"),
        ("fsync", "signal=KILL", "12"),
        ("pwrite64", "error=ENOSPC", "40"),
        ("pwrite64", "error=EROFS", "40+"),
        ("pwrite64", "signal=KILL", "60"),
    ]
    assert survives(tmp_path, calls) == 6


def test_control_a_fault_that_never_comes_ends_nothing(tmp_path: Path) -> None:
    assert survives(tmp_path, [("fsync", "signal=KILL", "60000")]) == 0


def left_open(directory: Path) -> Path:
    """A log whose writer died with three intents open."""
    log = open_log(new_log(directory))
    log.append(*(intent(f"open-{n}") for n in range(3))).result()
    return copy(directory, directory.with_suffix(".dead"))


def recovers(tmp_path: Path, calls: list[tuple[str, str, str]]) -> int:
    """How many openings the fault ended; the next one closes the intents all the same."""
    dead = left_open(tmp_path / "log")
    ended = 0
    for number, (call, fault, when) in enumerate(calls):
        directory = copy(dead, tmp_path / f"log{number}")
        ended += run_with(directory, "reopen", call, fault, when)[0] != 0
        assert outcome(directory, []) == "kept", (call, fault, when)
        shutil.rmtree(directory)
    return ended


def test_41_43_killed_while_it_recovers(tmp_path: Path) -> None:
    calls = [("fsync", "signal=KILL", "2"), ("pwrite64", "signal=KILL", "5"),
             ("fsync", "signal=KILL", "1")]  # fmt: skip
    assert recovers(tmp_path, calls) == 3


@pytest.mark.parametrize(("mode", "at"), [("roll", "26"), ("prune", "12")])
def test_42_44_faults_while_a_segment_begins_or_goes(tmp_path: Path, mode: str, at: str) -> None:
    calls = [("fsync", "signal=KILL", "8"), ("pwrite64", "error=EIO", at),
             ("unlink" if mode == "prune" else "rename", "signal=KILL", "1")]  # fmt: skip
    assert survives(tmp_path, calls, mode) >= 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mode", ["roll", "prune"])
def test_42_44_faults_at_every_call_of_a_segment(tmp_path: Path, mode: str, fault: str) -> None:
    made = calls_made(before(mode, tmp_path / "count"), mode)
    assert made["rename" if mode == "roll" else "unlink"] > 0
    calls = [(c, fault, str(n + 1)) for c in CALLS for n in range(made[c])]
    assert survives(tmp_path, calls, mode)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_41_faults_at_every_call_of_a_recovery(tmp_path: Path, fault: str) -> None:
    made = calls_made(left_open(tmp_path / "count"), "reopen")
    assert made["fsync"] > 0
    assert recovers(tmp_path, [(c, fault, str(n + 1)) for c in CALLS for n in range(made[c])])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_32_33_faults_at_every_call(tmp_path: Path, fault: str) -> None:
    """Each write, cut, rename, removal and sync on the files of the log, once and for good."""
    made = calls_made(new_log(tmp_path / "count"), "four")
    assert made["fsync"] >= 5
    assert made["pwrite64"] >= 20
    calls = [(c, fault, str(n + 1)) for c in CALLS for n in range(made[c])]
    if fault.startswith("error"):
        calls += [(c, fault, f"{n + 1}+") for c in CALLS for n in range(0, made[c], 3)]
    assert survives(tmp_path, calls, "four")
