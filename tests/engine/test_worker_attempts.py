"""Nothing forbidden works from inside the real worker, with its model loaded and mapped."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.engine import protocol
from appliance.trust.bytes.sealed import SealedFile
from tests.engine import attempts, worker_attempts
from tests.engine.test_confine import Range
from tests.engine.test_worker import load

SCRIPT = Path(worker_attempts.__file__)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Range]:
    made = Range(tmp_path)
    yield made
    made.close()


def run(
    target: Range, model: SealedFile, variant: Path, mode: str, *cases: str
) -> subprocess.CompletedProcess[bytes]:
    ours, theirs = socket.socketpair()
    giving, taking = socket.socketpair()
    fd = model.reopen()
    facts = {
        "unix": -1, "tcp": -1, "writable": -1, "victim": target.victim.pid,
        "address": target.address, "port": target.listening.getsockname()[1],
        "abstract": f"appliance-test-{os.getpid()}", "path": str(target.scratch / "s"),
        "scratch": str(target.scratch),
    }  # fmt: skip
    with ours, theirs, giving, taking:
        ours.sendall(protocol.frame(load(variant)))
        socket.send_fds(giving, [b"\0"], [fd])
        done = subprocess.run(
            [
                *(sys.executable, "-I", SCRIPT, mode),
                *map(str, (theirs.fileno(), taking.fileno())),
                *(json.dumps(facts), *cases),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(), taking.fileno()),
            env={},
            cwd="/",
            timeout=120,
            check=False,
        )
    os.close(fd)
    return done


def results(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stderr[done.stderr.rindex(b"{") :])
    return found


WORK_WHEN_FREE = {
    "open a file",
    "open its own maps",
    "create a file",
    "mkdir",
    "unlink",
    "stat",
    "new TCP socket",
    "new Unix socket",
    "connect to a path",
    "send a datagram",
    "fork",
    "clone a process",
    "signal another process",
    "make memory executable",
    "memfd_create",
    "start a thread",
}


def test_only_threads_can_be_started(
    target: Range, sealed_model: SealedFile, variant: Path
) -> None:
    found = results(run(target, sealed_model, variant, "confined"))
    assert len(found) > 45
    working = {name for name, result in found.items() if result == "works"}
    assert working == {"start a thread", "lower its own priority"}
    assert set(found.values()) <= {"works", "EPERM", "EACCES", "ENOSYS", "EBADF"}
    assert found.keys() >= WORK_WHEN_FREE
    assert (target.scratch / "victim").exists()


def test_without_the_drop_the_same_worker_can_do_all_that(
    target: Range, sealed_model: SealedFile, variant: Path
) -> None:
    found = results(run(target, sealed_model, variant, "free"))
    assert {name for name, result in found.items() if result == "works"} >= WORK_WHEN_FREE


@pytest.mark.parametrize("case", attempts.DEADLY)
def test_the_worst_attempts_end_the_worker(
    target: Range, sealed_model: SealedFile, variant: Path, case: str
) -> None:
    done = run(target, sealed_model, variant, "confined", case)
    assert done.returncode == -signal.SIGSYS
