"""A job that this process queues or runs: its progress, its watchers, and its end.

Rules: reports come from any thread, everything else happens in the event loop; a slow watcher holds
nothing up.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import ApplianceError, Unavailable
from appliance.jobs.kind import AnyKind, Stop
from appliance.jobs.progress import Meter, Progress
from appliance.jobs.store import StoredJob
from appliance.wire.admin.base import Verbatim

_PHASES: Final = 64
"""How many phases back a watcher may be."""

REASONS: Final = {
    "pause": ("job_paused", "was paused."),
    "cancel": ("job_cancelled", "was cancelled."),
    "leave": ("interrupted", "was stopped: its caller went away."),
    "end": ("shutting_down", "was stopped: the server is stopping."),
}
"""Code and message by the reason of a stop."""


@dataclass
class WatcherSeen:
    """One watcher's place in the stream."""

    number: int = -1
    progress: Progress | None = None


class Reports:
    """The newest report of each phase; `progress` is the newest of all."""

    def __init__(self, unit: str = "", progress: Progress | None = None) -> None:
        self.progress = progress or Progress()
        self._unit = unit
        self._meter = Meter()
        self._trail: deque[tuple[int, Progress]] = deque(maxlen=_PHASES)

    def report(self, phase: str, done: int, total: int) -> None:
        told = self._meter.note(time.monotonic(), phase, done, total, self._unit)
        number, before = self._trail[-1] if self._trail else (-1, None)
        if before is not None and before.phase == phase:
            self._trail[-1] = (number, told)
        else:
            self._trail.append((number + 1, told))
        self.progress = told

    def news(self, seen: WatcherSeen) -> list[Progress]:
        trail = list(self._trail)
        found = [
            (number, told)
            for number, told in trail
            if number > seen.number or (number == seen.number and told is not seen.progress)
        ]
        if found:
            seen.number, seen.progress = found[-1]
        return [told for _, told in found]


class Live(Reports):
    """A job under way.

    Args:
        resumed: its work began before.

    Attributes:
        job: as it was when it was queued.
        engine: whether it needs one, which decides where it waits.
        asked: why it is to stop at its next safe point: a key of `REASONS`, or empty.
        watchers: how many callers wait for its end.
        kept: done when the job is in the database, and `job` has its number.
    """

    def __init__(self, job: StoredJob, kind: AnyKind, params: Any, *, resumed: bool) -> None:
        super().__init__(kind.unit, job.progress)
        self.job, self.kind, self.params, self.resumed = job, kind, params, resumed
        self.asked, self.engine = "", True
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None
        self.kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.kept.add_done_callback(_seen)
        self._over: asyncio.Future[Verbatim] = asyncio.get_running_loop().create_future()
        self._over.add_done_callback(_seen)

    def check(self) -> None:
        """Raise Stop when the job is to stop; from any thread."""
        if self.asked:
            raise self.stopped()

    def stopped(self) -> Stop:
        return why_stopped(self.job.id, self.asked or "end")

    @property
    def over(self) -> bool:
        return self._over.done()

    async def outcome(self, timeout: float | None = None) -> Verbatim:
        """The result; a cancelled wait has no effect on the job.

        Raises TimeoutError, the job's error, `job_paused`, `job_cancelled`, `interrupted`,
        `shutting_down`.
        """
        return await asyncio.wait_for(asyncio.shield(self._over), timeout)

    def end(self, result: Verbatim | BaseException) -> None:
        if self._over.done():
            return
        if isinstance(result, BaseException):
            self._over.set_exception(result)
        else:
            self._over.set_result(result)

    def when_over(self, call: Callable[[BaseException | None], None]) -> None:
        """Call a function with the error, or None, when the job is over."""
        self._over.add_done_callback(lambda over: call(over.exception()))

    def refuse(self, error: Exception) -> None:
        """Report to all who wait that the job cannot be kept, so never runs."""
        self.kept.set_exception(error)
        self.end(error)


def why_stopped(job_id: int, asked: str) -> Stop:
    """Why a job stops, from what was asked: a key of `REASONS`."""
    code, what = REASONS[asked]
    return Stop(code, f"Job {job_id} {what}")


def explained(error: BaseException) -> ApplianceError:
    """An error as a job keeps it; of a bug only its type."""
    if isinstance(error, ApplianceError):
        return error
    return Unavailable("job_failed", f"The work ended with {type(error).__name__}.")


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
