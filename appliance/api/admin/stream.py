"""Long work as a stream of JSON lines: progress first, then one result or one error.

Rules: the work runs in a thread, or as a task of the loop; of its progress reports only the
newest is kept, so a slow reader holds nothing up; when the reader goes away, the work's next
report raises and it ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from appliance.api.admin.errors import admin_error
from appliance.errors import ApplianceError, Unavailable
from appliance.wire.admin import Progress, StreamLine

Report: TypeAlias = Callable[[str, int, int], None]
MEDIA_TYPE = "application/x-ndjson"
_SECONDS_BETWEEN_LINES = 0.2


class _Newest:
    """The newest progress report of a thread, and whether anyone still reads."""

    def __init__(self) -> None:
        self.value: Progress | None = None
        self.reader_gone = False

    def report(self, phase: str, done: int, total: int) -> None:
        if self.reader_gone:
            raise Unavailable("interrupted", f"The caller went away during {phase}.")
        self.value = Progress(phase=phase, done=done, total=total)


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
        shown = None
        while not (await asyncio.wait({task}, timeout=_SECONDS_BETWEEN_LINES))[0]:
            if newest.value is not shown:
                shown = newest.value
                yield _line(StreamLine(progress=shown))
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
