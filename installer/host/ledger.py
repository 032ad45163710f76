"""The ledger of the installer: begun and completed steps, durable line by line.

Rules: a line is synced before the next step begins. A torn last line never happened; any other
damage stops everything. Each line carries a digest of all lines before it.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from installer.host.files import sync_directory
from installer.host.problems import InstallError, keep

NAME: Final = "ledger"
LOG: Final = "installer.log"
ENDS: Final = frozenset({"commit", "rolled-back", "abandoned"})
"""Events that end a run."""


@dataclass(frozen=True)
class Event:
    """One line: an event of a run, with its facts."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """The file, open for appending."""

    def __init__(self, path: Path, events: list[Event], chain: str) -> None:
        self._path = path
        self._chain = chain
        self.events = events

    def append(self, name: str, **facts: Any) -> None:
        """Durably."""
        body = json.dumps({"event": name, **facts}, sort_keys=True)
        chain = _link(self._chain, body)
        line = f"{chain} {body}\n".encode()
        created = not self._path.exists()
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(fd).st_size
            try:
                if os.write(fd, line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fdatasync(fd)
            except OSError:
                os.ftruncate(fd, before)
                raise
        finally:
            os.close(fd)
        if created:
            sync_directory(self._path.parent)
        self._chain = chain
        self.events.append(Event(name, facts))

    def unfinished(self) -> list[Event]:
        """The events of a run without an end, from its `begin` on."""
        for at in range(len(self.events) - 1, -1, -1):
            if self.events[at].name in ENDS:
                return []
            if self.events[at].name == "begin":
                return self.events[at:]
        return []

    def committed(self) -> list[Event]:
        """The commits, oldest first."""
        return [event for event in self.events if event.name == "commit"]


@contextmanager
def open_ledger(state: Path) -> Iterator[Ledger]:
    """Hold the lock of this host's installer and read the ledger; messages are kept, too.

    Raises `installer_running`, `ledger_damaged`.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InstallError(
                "installer_running", f"Another installer holds {state / 'lock'}."
            ) from error
        keep(state / LOG)
        path = state / NAME
        events, chain, whole = read_ledger(path)
        if path.exists() and path.stat().st_size != whole:
            os.truncate(path, whole)  # the torn line
        yield Ledger(path, events, chain)
    finally:
        os.close(fd)


def read_ledger(path: Path) -> tuple[list[Event], str, int]:
    """The events of a ledger, the digest over them, and the bytes of its whole lines
    (`ledger_damaged`).
    """
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    events: list[Event] = []
    chain = ""
    try:
        for line in data[:whole].decode().split("\n")[:-1]:
            digest, separator, body = line[:64], line[64:65], line[65:]
            chain = _link(chain, body)
            if digest != chain or separator != " ":
                raise ValueError(f"line {len(events) + 1} does not follow from those before")
            facts = json.loads(body)
            events.append(Event(facts.pop("event"), facts))
    except (ValueError, KeyError, AttributeError) as error:
        raise InstallError("ledger_damaged", f"{path}: {error}") from error
    return events, chain, whole


def _link(chain: str, body: str) -> str:
    return hashlib.sha256(f"{chain}\n{body}".encode()).hexdigest()
