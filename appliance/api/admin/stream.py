"""Long work as a stream of JSON lines: progress first, then one result or one error.

Rules: the work runs in a thread, or as a task of the loop; of its progress reports the newest of
each phase is kept, so that a slow reader holds nothing up and misses no phase; when the reader goes
away, the work's next report raises and it ends.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from appliance.api.admin.errors import admin_error
from appliance.errors import ApplianceError, Unavailable
from appliance.wire.admin.models import Progress, StreamLine

Report: TypeAlias = Callable[[str, int, int], None]
MEDIA_TYPE = "application/x-ndjson"
_SECONDS_BETWEEN_LINES = 0.2


class _Newest:
    """The newest progress report of each phase, and whether anyone still reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Progress] = []
        self.reader_gone = False

    def report(self, phase: str, done: int, total: int) -> None:
        if self.reader_gone:
            raise Unavailable("interrupted", f"The caller went away during {phase}.")
        told = Progress(phase=phase, done=done, total=total)
        with self._lock:
            if self._waiting and self._waiting[-1].phase == phase:
                self._waiting[-1] = told
            else:
                self._waiting.append(told)

    def take(self) -> list[Progress]:
        """The reports that nobody has read yet, oldest first."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken


def stream(work: Callable[[Report], BaseModel]) -> StreamingResponse:
    """Run `work(report)` in a thread and answer with its progress and outcome."""
    return stream_task(lambda report: asyncio.to_thread(work, report))


def stream_task(work: Callable[[Report], Awaitable[BaseModel]]) -> StreamingResponse:
    """Await `work(report)` and answer with its progress and outcome."""
    return StreamingResponse(_lines(work), media_type=MEDIA_TYPE)


async def _lines(work: Callable[[Report], Awaitable[BaseModel]]) -> AsyncIterator[str]:
    newest = _Newest()
    task = asyncio.ensure_future(work(newest.report))
    task.add_done_callback(_retrieve)
    try:
        over: set[asyncio.Future[BaseModel]] = set()
        while not over:
            over, _ = await asyncio.wait({task}, timeout=_SECONDS_BETWEEN_LINES)
            for report in newest.take():
                yield _line(StreamLine(progress=report))
        yield _line(_last(task))
    finally:
        newest.reader_gone = True


def _last(task: "asyncio.Future[BaseModel]") -> StreamLine:
    error = task.exception()
    if error is None:
        return StreamLine(result=task.result().model_dump(mode="json", by_alias=True))
    if isinstance(error, ApplianceError):
        return StreamLine(error=admin_error(error))
    raise error


def _line(line: StreamLine) -> str:
    return line.model_dump_json(exclude_none=True) + "\n"


def _retrieve(task: "asyncio.Future[BaseModel]") -> None:
    """Mark the error of abandoned work as seen."""
    if not task.cancelled():
        task.exception()
