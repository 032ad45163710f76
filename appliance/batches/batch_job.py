"""The job that runs a batch: checks its lines, has them answered, and ends it.

Rules: an early end is reported for each line that is left; a restart finishes a decided end; a
batch that fails for its file is no failed job.
"""

import asyncio
from collections.abc import Iterator
from typing import ClassVar, Final

import msgspec

from appliance.batches.lines import BatchCheck, numbered, read, request_of, written
from appliance.batches.running import BatchParts, BatchRunning
from appliance.batches.store import StoredBatch
from appliance.errors import ApplianceError, BadRequest, Unavailable
from appliance.jobs.kind import Context, JobKind, Stop
from appliance.types import Role
from appliance.wire.admin.results import BatchEnded

KIND: Final = "batch"
_REST_S_PER_BYTE: Final = 0.4e-6
"""Rest after looking at lines, so that it takes at most a third of a core."""
_TOLD_AT_ONCE: Final = 256


class BatchWanted(msgspec.Struct, frozen=True):
    """Parameters of the job; `key` asked for it."""

    batch: str
    key: str
    endpoint: str


class BatchJob(JobKind[BatchWanted, BatchEnded]):
    """Runs a batch."""

    name: ClassVar[str] = KIND
    form = BatchWanted
    unit: ClassVar[str] = "lines"
    role: ClassVar[Role] = Role.OPERATOR
    resumable: ClassVar[bool] = True

    def __init__(self, parts: BatchParts) -> None:
        self._parts, self._files, self._store = parts, parts.files, parts.store

    def title(self, params: BatchWanted) -> str:
        return f"{params.batch} ({params.endpoint}) of key {params.key}"

    def key(self, params: BatchWanted) -> str | None:
        return params.batch

    def wanted(self, params: BatchWanted) -> bool:
        """Always: it has no watchers."""
        return True

    async def run(self, job: Context[BatchWanted]) -> BatchEnded:
        store, name = self._store, job.params.batch
        batch = await job.in_thread(store.get, name)
        try:
            fresh = batch.status == "validating"
            if fresh:
                batch = await self._looked_at(job, batch)
            if batch.status == "in_progress":
                batch = await BatchRunning(self._parts, job, batch, fresh=fresh).work()
            if batch.live:
                batch = await self._ended(job, batch)
        except Stop as stop:
            if stop.code == "job_cancelled":
                batch = await job.in_thread(store.decide, name, "cancelled")
                await self._ended(job, batch)
            raise
        return BatchEnded.model_validate(
            {
                "batch": batch.id,
                "status": batch.status,
                "completed": batch.completed,
                "failed": batch.failed,
            }
        )

    async def _looked_at(self, job: Context[BatchWanted], batch: StoredBatch) -> StoredBatch:
        found, read_bytes = BatchCheck(batch.endpoint), 0
        size = (await job.in_thread(self._files.known, batch.input)).bytes
        parts = self._files.parts(batch.input)
        while (part := await job.in_thread(next, parts, None)) is not None:
            await job.in_thread(found.take, numbered([part]))
            read_bytes += len(part.text)
            job.report("reading", read_bytes, size)
            await asyncio.sleep(len(part.text) * _REST_S_PER_BYTE)
        await job.in_thread(found.end)
        if found.problems:
            return await job.in_thread(self._store.decide, batch.id, "failed", found.problems)
        return await job.in_thread(self._store.begin, batch.id, found.model, found.total)

    async def _ended(self, job: Context[BatchWanted], batch: StoredBatch) -> StoredBatch:
        if batch.total and batch.becomes != "completed":
            await self._tell_left(job, batch)
        return await job.in_thread(self._store.end, batch)

    async def _tell_left(self, job: Context[BatchWanted], batch: StoredBatch) -> None:
        """Piece by piece, between which the server may end."""
        lines = (await job.in_thread(self._files.known, batch.input)).lines
        pieces = self._left(batch, await job.in_thread(self._store.answered, batch, lines))
        while (piece := await job.in_thread(next, pieces, None)) is not None:
            await job.in_thread(self._store.keep_unanswered, batch, piece)

    def _left(self, batch: StoredBatch, done: bytearray) -> Iterator[list[tuple[int, bytes]]]:
        left: list[tuple[int, bytes]] = []
        for line in numbered(self._files.parts(batch.input)):
            if done[line.number]:
                continue
            custom_id, why = None, _unanswered(batch)
            try:
                custom_id = read(line.text).custom_id
            except BadRequest as error:
                why = error
            request = request_of(batch.id, line.number, 0)
            left.append((line.number, written(request, custom_id, why, None)))
            if len(left) == _TOLD_AT_ONCE:
                yield left
                left = []
        yield left


def _unanswered(batch: StoredBatch) -> ApplianceError:
    if batch.becomes == "cancelled":
        return Unavailable("batch_cancelled", "The batch was cancelled before this line ran.")
    if batch.becomes == "expired":
        return Unavailable("batch_expired", "The batch expired before this line ran.")
    problem = batch.problems[0]
    return Unavailable(problem.code, problem.message)
