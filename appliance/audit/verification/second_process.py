"""The second half of a long verification, in a process of its own, ahead of the first half.

Rules: it starts from the state that stored hashes and handovers promise. Its result counts only if
it found nothing and the first half arrives at exactly that state; otherwise the first process
continues alone. Questions about the first half are handed over, not judged.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

import msgspec

from appliance.host import host_key

FEWEST: Final = 1 << 17
"""Entries for which a second process pays."""


class VerifierState(msgspec.Struct, frozen=True):
    """State of a verification between two entries, with nothing in doubt.

    Attributes:
        peaks: of the tree, in hex.
        before: leaf hash of the last entry, in hex.
        epoch: number, start and public key in hex.
    """

    size: int
    peaks: list[str]
    before: str
    epoch: tuple[int, int, str]


class Ahead(msgspec.Struct, frozen=True):
    """A range in which nothing was found.

    Attributes:
        begin, end: the assumed state, and the one that was reached.
        began, ended: boot id and time since boot of the first and the last entry.
        events: for the first half to judge: outcomes of intents that are not open within (seq,
            intent, request), and starts (entries.py).
        open_intents: of those within.
        filed: how many of its entries have each indexed column, by segment (indexes.py).
    """

    begin: VerifierState
    end: VerifierState
    began: tuple[str, int]
    ended: tuple[str, int]
    events: list[tuple[int, int, str]]
    open_intents: int
    filed: dict[int, list[int]]


class Helper:
    """The process that looks ahead; a context that ends it."""

    def __init__(self, directory: Path, first: int, end: int, key: str) -> None:
        self.first, self._end, self._said, self._done = first, end, b"", 0
        arguments = [str(directory.absolute()), str(first), str(end), key]
        self._process: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError):  # then the caller goes on alone
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "appliance.audit.verification.lookahead", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if self._process.stdin is not None:
                with self._process.stdin as told:
                    told.write(host_key.held(directory.parent))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def done(self) -> int:
        """Entries checked so far."""
        if self._process is not None and self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)
            self._said += self._process.stdout.read() or b""
            lines = self._said.split(b"\n")[:-1]
            self._done = max([self._done, *(int(line) for line in lines if line.isdigit())])
        return self._done

    def result(self) -> Ahead | None:
        """Wait for its end; None when it found anything or failed."""
        if self._process is None or self._process.stdout is None:
            return None
        os.set_blocking(self._process.stdout.fileno(), True)
        rest = self._process.stdout.read()
        self._process.wait()
        try:
            return msgspec.json.decode((self._said + rest).rsplit(b"\n", 2)[-2], type=Ahead)
        except (msgspec.MsgspecError, IndexError):
            return None


def helps(entries: int) -> bool:
    """True if a second process pays."""
    return entries >= FEWEST and len(os.sched_getaffinity(0)) > 1
