"""Our server without its audit log, its model or both (P6): only here the composition root is given
another class, workers another program.

usage: python -m benchmarks.ablated [--no-log] [--no-model] --port N
"""

import argparse
import contextlib
import hashlib
import itertools
import subprocess
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final
from unittest import mock

from appliance.audit.log import AuditLog, Draft
from appliance.config import data_directory
from appliance.server import serve
from appliance.types import Receipt
from appliance.wiring import log

_NULL: Final = Path(__file__).with_name("null_engine.py")
_WORKER: Final = "appliance.engine.worker"
_popen: Final = subprocess.Popen


class MemoryLog(AuditLog):
    """Takes entries and forgets them; every receipt comes at once."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._held = {}

    @classmethod
    def open(cls, directory: Path, **_: Any) -> "MemoryLog":
        return cls()

    def append(self, *drafts: Draft) -> "Future[tuple[Receipt, ...]]":
        future: Future[tuple[Receipt, ...]] = Future()
        future.set_result(tuple(self._receipt() for _ in drafts))
        return future

    def new_epoch(self) -> "Future[tuple[Receipt, ...]]":
        return self.append(Draft("epoch", {}))

    def _receipt(self) -> Receipt:
        number = next(self._numbers)
        return Receipt(number, hashlib.sha256(str(number).encode()).digest(), number + 1)

    def check(self) -> None:
        """Work may begin."""

    @property
    def latched(self) -> str | None:
        return None

    @property
    def unwritable(self) -> str | None:
        return None

    @property
    def alarm(self) -> str | None:
        return None

    @property
    def size(self) -> int:
        return 0

    def close(self) -> None:
        pass


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablated")
    parser.add_argument("--no-log", action="store_true")
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.no_log:
            stack.enter_context(mock.patch.object(log, "AuditLog", MemoryLog))
        if options.no_model:
            stack.enter_context(mock.patch.object(subprocess, "Popen", _start))
        serve.serve(data_directory(None), None, options.port)


def _start(command: list[str], **how: Any) -> "subprocess.Popen[bytes]":
    if _WORKER in command:
        command = [command[0], "-I", str(_NULL), *command[command.index(_WORKER) + 1 :]]
    return _popen(command, **how)


if __name__ == "__main__":
    main()
