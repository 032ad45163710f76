"""Our server with an audit log in memory: what the real log costs is the difference (P6).

Nothing in the product can ask for this: the composition root is given another class here, in
this process, and everything else is `appliance serve`.

usage: python -m benchmarks.unaudited --port N
"""

import argparse
import hashlib
import itertools
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

from appliance import runtime, server
from appliance.audit.log import AuditLog, Draft
from appliance.config import data_directory
from appliance.types import Receipt


class MemoryLog(AuditLog):
    """Takes entries and forgets them; every receipt comes at once."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    @classmethod
    def open(cls, directory: Path, **_: Any) -> "MemoryLog":
        """A log that is always empty."""
        return cls()

    def append(self, *drafts: Draft) -> "Future[tuple[Receipt, ...]]":
        """Receipts of nothing."""
        future: Future[tuple[Receipt, ...]] = Future()
        future.set_result(tuple(self._receipt() for _ in drafts))
        return future

    def new_epoch(self) -> "Future[tuple[Receipt, ...]]":
        """Nothing is encrypted."""
        return self.append(Draft("epoch", {}))

    def _receipt(self) -> Receipt:
        number = next(self._numbers)
        return Receipt(number, hashlib.sha256(str(number).encode()).digest(), number + 1)

    @property
    def latched(self) -> str | None:
        """Never."""
        return None

    @property
    def alarm(self) -> str | None:
        """Nothing to look at."""
        return None

    @property
    def size(self) -> int:
        """Nothing is durable."""
        return 0

    def close(self) -> None:
        """Nothing to commit."""


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unaudited")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    with mock.patch.object(runtime, "AuditLog", MemoryLog):
        server.serve(data_directory(None), None, port)


if __name__ == "__main__":
    main()
