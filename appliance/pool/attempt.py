"""A load under way, and its watchers.

Rules: each watcher gets every report, and each phase is a line of the server's log. A load that a
person started ends when that person stops watching and no request waits for the model.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance.errors import Unavailable
from appliance.jobs.live import Live
from appliance.trust.artifacts.store import ModelRecord
from appliance.types import Report

_log = logging.getLogger("appliance")


@dataclass(eq=False)
class LoadAttempt:
    """One load of one model.

    Attributes:
        size: bytes that it will count for.
        wanted: a request waits for the model.
        phase, done, total: the newest report; bytes.
        room: makes room first, or does nothing.
        live: its job, once it has begun.
    """

    model: str
    actor: str
    reason: str
    size: int
    wanted: Callable[[], bool]
    begun: float = field(default_factory=time.monotonic)
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    stopped: bool = False
    watchers: list[Report] = field(default_factory=list)
    room: Callable[[], Awaitable[None]] | None = None
    live: Live | None = None
    record: ModelRecord | None = None

    def report(self, phase: str, done: int, total: int) -> None:
        """Take a report; also called from the thread that seals. Unavailable ends the load: no
        request wants it, or the server is stopping.
        """
        if self.stopped:
            raise Unavailable("shutting_down", "The server is stopping.")
        if phase != self.phase:
            _log.info("%s: %s", self.model, phase)
        self.phase, self.done, self.total = phase, done, total
        for watcher in list(self.watchers):
            try:
                watcher(phase, done, total)
            except Unavailable:
                self.watchers.remove(watcher)
                if not self.watchers and not self.wanted():
                    raise
