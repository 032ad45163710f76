"""Forwarders: one thread for each receiver reads the log by sequence and sends it on.

Rules:
- At least once, in order, without a gap. A syslog receiver that dies may lose what TCP has
  acknowledged, so a cursor waits `overlap_seconds` behind what was sent; after a lost connection
  everything from the cursor on is sent again, and repeats are known by sequence and leaf hash.
- A log without the cursor's entry is another log, as after a restore: it is sent from its
  beginning.
- Nothing here delays an answer, unless `stop_after_minutes` says so.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.reader import LogReader
from appliance.clock import Clock
from appliance.config import ForwardConfig
from appliance.errors import ApplianceError
from appliance.forwarding.cursors import ForwardCursor, ForwardCursors
from appliance.forwarding.messages import outgoing
from appliance.incidents.facts import ReceiverFact

if TYPE_CHECKING:
    from appliance.forwarding.receivers import Receiver

BATCH: Final = 256
_IDLE_S: Final = 1.0
_WRITE_S: Final = 5.0  # a write waits for the disk that the log writes to
_FIRST_S, _MOST_S = 1.0, 60.0
_PATIENCE_S: Final = 5.0
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class ForwardStanding(ReceiverFact):
    """State of one receiver.

    Attributes:
        next: the first entry that it may not have.
        repeats: entries that were sent more than once since the start.
    """

    next: int
    repeats: int


class Forwarder:
    """Sends the log to one receiver.

    Args:
        connect: opens a connection; raises OSError or ApplianceError.
    """

    def __init__(
        self,
        name: str,
        config: ForwardConfig,
        reader: LogReader,
        cursors: ForwardCursors,
        clock: Clock,
        connect: "Callable[[], Receiver]",
    ) -> None:
        self.name, self._config = name, config
        self._reader, self._cursors, self._clock = reader, cursors, clock
        self._connect = connect
        self._stop = threading.Event()
        self._cursor = self._written = cursors.read(name)
        self._due = 0.0
        self._sent = self._most = self._cursor.next
        self._repeats = 0
        self._problem, self._since_us = "", clock.wall_us()
        self._thread = threading.Thread(target=self._run, name=f"forward-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    @property
    def standing(self) -> ForwardStanding:
        """State of the receiver. Raises as `LogReader.entry`."""
        size, after = self._reader.size, self._sent
        oldest = None
        if after < size:
            found = self._reader.range(max(after, self._reader.first), 1)
            oldest = found[0].time_us if found else None
        return ForwardStanding(
            self.name, self._config.to, max(0, size - after), oldest, self._problem,
            self._since_us, self._cursor.next, self._repeats,
        )  # fmt: skip

    def _run(self) -> None:
        pause = _FIRST_S
        while not self._stop.is_set():
            try:
                with contextlib.closing(self._connect()) as receiver:
                    self._say("")
                    pause = _FIRST_S
                    self._stream(receiver)
            except (OSError, ApplianceError, SQLAlchemyError) as error:
                self._say(str(error) or type(error).__name__)
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, _MOST_S)

    def _stream(self, receiver: "Receiver") -> None:
        """Send from the cursor on until the connection ends or `stop`."""
        self._begin()
        origin = self._reader.origin
        overlap = 0.0 if receiver.acknowledges else float(self._config.overlap_seconds)
        waiting: deque[tuple[float, ForwardCursor]] = deque()
        while True:
            receiver.check()
            if found := self._reader.range(self._sent, BATCH):
                receiver.send(outgoing(found, origin, self._config.format))
                last = found[-1]
                self._repeats += max(0, min(self._most, last.seq + 1) - self._sent)
                self._sent = last.seq + 1
                self._most = max(self._most, self._sent)
                waiting.append((time.monotonic(), ForwardCursor(self._sent, last.leaf)))
            stopping = self._stop.wait(0.0 if len(found) == BATCH else _IDLE_S)
            self._settle(waiting, overlap, stopping)
            if stopping:
                return

    def _settle(
        self, waiting: deque[tuple[float, ForwardCursor]], overlap: float, stopping: bool
    ) -> None:
        """Move the cursor to the newest entry that was sent long enough ago; write it if due."""
        now = time.monotonic()
        while waiting and now - waiting[0][0] >= overlap:
            self._cursor = waiting.popleft()[1]
        if self._cursor != self._written and (stopping or now >= self._due):
            self._cursors.write(self.name, self._cursor)
            self._written, self._due = self._cursor, now + _WRITE_S

    def _begin(self) -> None:
        """Go back to the cursor; to the beginning of another log."""
        cursor, first = self._cursor, self._reader.first
        if cursor.next > first:
            found = self._reader.range(cursor.next - 1, 1)
            if [one.leaf for one in found] != [cursor.leaf]:
                _log.warning(
                    "the log is not the one that %s has: it is sent from its beginning", self.name
                )
                self._cursor = cursor = ForwardCursor()
        self._sent = max(cursor.next, first)

    def _say(self, problem: str) -> None:
        if bool(problem) != bool(self._problem):
            self._since_us = self._clock.wall_us()
            if problem:
                _log.warning("nothing is sent to %s: %s", self.name, problem)
            else:
                _log.info("connected to %s", self.name)
        self._problem = problem


class Forwarding:
    """All receivers of `[forward]`."""

    def __init__(
        self,
        receivers: Mapping[str, ForwardConfig],
        enterprise: int,
        data: Path,
        reader: LogReader,
        cursors: ForwardCursors,
        clock: Clock,
    ) -> None:
        self._forwarders = [
            Forwarder(
                name, config, reader, cursors, clock, _opener(config, enterprise, data, reader)
            )
            for name, config in receivers.items()
        ]
        self._config = receivers

    def start(self) -> None:
        for one in self._forwarders:
            one.start()

    def stop(self) -> None:
        for one in self._forwarders:
            one.stop()

    @property
    def standings(self) -> list[ForwardStanding]:
        return [one.standing for one in self._forwarders]

    def without(self, before: int) -> list[str]:
        return [one.name for one in self.standings if one.next < before]

    def overdue(self, now_us: int) -> str:
        """Name a receiver for which answers stop; "" for none."""
        for one in self.standings:
            limit = self._config[one.name].stop_after_minutes * 60_000_000
            if limit and one.oldest_us is not None and now_us - one.oldest_us > limit:
                return one.name
        return ""


def _opener(
    config: ForwardConfig, enterprise: int, data: Path, reader: LogReader
) -> "Callable[[], Receiver]":
    from appliance.forwarding.receivers import open_receiver  # of a site that has one

    return lambda: open_receiver(config, enterprise, data, reader)
