"""Long work as a stream of JSON lines: progress first, then one result or one error.

Rules: a slow reader holds nothing up; when the last reader of a job leaves, the job stops at its
next safe point unless it is wanted otherwise; other work ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from appliance.api.admin.errors import admin_error
from appliance.errors import ApplianceError, Unavailable
from appliance.jobs.jobs import Jobs
from appliance.jobs.live import Live, Reports, WatcherSeen
from appliance.types import Report
from appliance.wire.admin.base import Verbatim
from appliance.wire.admin.models import StepProgress, StreamLine

R = TypeVar("R", bound=Verbatim)
MEDIA_TYPE = "application/x-ndjson"
_SECONDS_BETWEEN_LINES = 0.2


class _Look(Reports):
    """Work that is no job: it ends with its reader."""

    def __init__(self) -> None:
        super().__init__()
        self._gone = False

    def report(self, phase: str, done: int, total: int) -> None:
        if self._gone:
            raise Unavailable("interrupted", f"The caller went away during {phase}.")
        super().report(phase, done, total)

    @contextmanager
    def watching(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._gone = True


def stream(work: Callable[[Report], BaseModel]) -> StreamingResponse:
    """Answer with the progress and outcome of `work(report)`, in a thread."""
    return stream_task(lambda report: asyncio.to_thread(work, report))


def stream_task(work: Callable[[Report], Awaitable[BaseModel]]) -> StreamingResponse:
    """Answer with the progress and outcome of `work(report)`, awaited."""

    async def lines() -> AsyncIterator[str]:
        look = _Look()
        with look.watching():
            async for line in _lines(look, asyncio.ensure_future(work(look.report)), None):
                yield line

    return StreamingResponse(lines(), media_type=MEDIA_TYPE)


def stream_job(
    jobs: Jobs, live: Live, form: type[R], shape: Callable[[R], BaseModel]
) -> StreamingResponse:
    """Answer with the progress of a job, and with its result in `shape`."""

    async def result() -> BaseModel:
        return shape(form.model_validate(await live.outcome()))

    async def lines() -> AsyncIterator[str]:
        with jobs.watching(live):
            async for line in _lines(live, asyncio.ensure_future(result()), live.job.id):
                yield line

    return StreamingResponse(lines(), media_type=MEDIA_TYPE)


async def _lines(
    reports: Reports, task: "asyncio.Future[BaseModel]", job: int | None
) -> AsyncIterator[str]:
    task.add_done_callback(_retrieve)
    seen = WatcherSeen()
    over: set[asyncio.Future[BaseModel]] = set()
    while not over:
        over, _ = await asyncio.wait({task}, timeout=_SECONDS_BETWEEN_LINES)
        for told in reports.news(seen):
            progress = StepProgress(phase=told.phase, done=told.done, total=told.total)
            yield _line(StreamLine(job=job, progress=progress))
    yield _line(_last(task))


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
    if not task.cancelled():
        task.exception()
