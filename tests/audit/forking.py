"""Runs of the appender in processes forked from one that has imported everything, with strace on
one of their threads.

    python -m tests.audit.forking     an order a line on stdin, an answer a line on stdout, in JSON

strace is attached to one thread only, so that `when=N` means its Nth call: the thread that opens
and closes the log (`main`) or the one that writes (`writer`).
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.audit import log as log_module
from appliance.audit.log import AuditLog
from tests.audit import appender

_SET_PTRACER = 0x59616D61
_ANYBODY = -1


@dataclass(frozen=True)
class Order:
    """A run.

    Attributes:
        strace: the command and its options, without `-p`.
    """

    directory: str
    mode: str
    thread: str
    strace: list[str]


class Forks:
    """A process that runs orders, one at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.audit.forking"]
        checkout = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout
        )

    def run(self, order: Order) -> tuple[int, str]:
        """Exit status (negative: the signal) and stdout of the appender."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["said"]

    def close(self) -> None:
        self._process.communicate()


def _appender(order: Order, out: int, attached: Callable[[int], object]) -> None:
    """Run in the fork, and end without Python's cleanup."""
    os.dup2(out, 1)
    ctypes.CDLL(None).prctl(_SET_PTRACER, _ANYBODY, 0, 0, 0)
    # HEAD after each commit: the calls of two runs are then the same, however fast the machine is.
    log_module.HEAD_SECONDS = 0.0  # type: ignore[misc]
    try:
        if order.thread == "main":
            attached(os.getpid())
            appender.run(Path(order.directory), order.mode)
        else:
            appender.run(Path(order.directory), order.mode, opened=_writer_to(attached))
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def _writer_to(attached: Callable[[int], object]) -> Callable[[AuditLog], object]:
    return lambda log: attached(log._thread.native_id or 0)


def _run(order: Order) -> dict[str, Any]:
    (name_read, name), (go, go_write), (said, out) = os.pipe(), os.pipe(), os.pipe()

    def attached(thread: int) -> None:
        os.write(name, b"%d" % thread)
        os.read(go, 1)

    child = os.fork()
    if child == 0:
        _appender(order, out, attached)
    for descriptor in (name, go, out):
        os.close(descriptor)
    thread = os.read(name_read, 20).decode()
    strace = subprocess.Popen([*order.strace, "-p", thread], stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    assert "attached" in strace.stderr.readline()
    os.write(go_write, b"!")
    with os.fdopen(said, encoding="utf-8") as text:
        lines = text.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    strace.communicate()
    os.close(name_read)
    os.close(go_write)
    return {"status": status, "said": lines}


def main() -> None:
    for line in sys.stdin:
        answer = _run(Order(**json.loads(line)))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
