"""Each write and sync call of the writer fails or is its last (cases 32 to 34).

The fault is injected into the real process by strace: the call returns EIO or ENOSPC, or the
process is killed in it. Then the log is opened again, and everything that was acknowledged
must be there.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit.logs import copy, new_log
from tests.audit.test_power_loss import outcome
from tests.conftest import need_tool

CHECKOUT = Path(__file__).parents[2]
FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")


def run_with(
    directory: Path, call: str, fault: str, when: str
) -> tuple[int, list[tuple[int, str]]]:
    """The appender's exit status and what it was promised."""
    command = [need_tool("strace"), "-f", "-o", "/dev/null", "-P", str(directory / "log.db"),
               "-P", str(directory / "log.db-wal"), "-P", str(directory / "keys.db"),
               "-P", str(directory / "keys.db-wal"), "-e", f"trace={call}",
               "-e", f"inject={call}:{fault}:when={when}",
               sys.executable, "-m", "tests.audit.appender", str(directory), "twenty"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    lines = [line.split() for line in done.stdout.split("\n")[:-1]]
    return done.returncode, [(int(x[0]), x[1]) for x in lines if len(x) == 2]


def survives(tmp_path: Path, calls: list[tuple[str, str, str]]) -> int:
    """How many of the runs the fault ended; none may lose what was acknowledged."""
    pristine = new_log(tmp_path / "pristine")
    ended = 0
    for number, (call, fault, when) in enumerate(calls):
        directory = copy(pristine, tmp_path / f"log{number}")
        status, promised = run_with(directory, call, fault, when)
        ended += status != 0
        assert outcome(directory, promised) == "kept", (call, fault, when)
    return ended


def test_32_33_faults_at_some_calls(tmp_path: Path) -> None:
    calls = [
        ("fdatasync", "error=EIO", "9"),
        ("fdatasync", "error=EIO", "9+"),
        ("fdatasync", "signal=KILL", "12"),
        ("pwrite64", "error=ENOSPC", "40"),
        ("pwrite64", "error=EIO", "40+"),
        ("pwrite64", "signal=KILL", "60"),
    ]
    assert survives(tmp_path, calls) >= 3


def test_control_a_fault_that_never_comes_ends_nothing(tmp_path: Path) -> None:
    assert survives(tmp_path, [("fdatasync", "signal=KILL", "60000")]) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("call", "most"), [("fdatasync", 30), ("pwrite64", 200)])
def test_32_33_faults_at_every_call(tmp_path: Path, call: str, most: int, fault: str) -> None:
    calls = [(call, fault, str(n)) for n in range(1, most)]
    if fault.startswith("error"):
        calls += [(call, fault, f"{n}+") for n in range(1, most, 5)]
    assert survives(tmp_path, calls)
