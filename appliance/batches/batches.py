"""The batches of one appliance: made, cancelled, tended; the limits of their files.

Rules: a batch is a job, which people see, pause and cancel; a batch whose job ended without it is
resumed at the next look.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from appliance.batches.batch_job import KIND, BatchJob
from appliance.batches.files import KeptFile
from appliance.batches.incoming import FileLimits, IncomingFile
from appliance.batches.lines import LineProblem
from appliance.batches.running import AskLine, BatchParts
from appliance.batches.store import StoredBatch, WantedBatch
from appliance.errors import ApplianceError, StateRefused
from appliance.jobs.jobs import Jobs
from appliance.jobs.states import JobState
from appliance.jobs.store import StoredJob
from appliance.types import Told

_LOOK_S: Final = 30.0
_UNEXPECTED: Final = "job_failed"
_GOES_ON: Final = frozenset(
    {JobState.QUEUED, JobState.RUNNING, JobState.PAUSING, JobState.PAUSED, JobState.CANCELLING}
)


@dataclass(frozen=True)
class BatchPolicy:
    """Policy of the site.

    Attributes:
        keep_s: how long files are kept by default.
        starves_s: seconds without an answer after which a batch starves.
    """

    limits: FileLimits
    keep_s: int
    starves_s: int


class Batches:
    """Makes and tends them."""

    def __init__(self, parts: BatchParts, jobs: Jobs, policy: BatchPolicy) -> None:
        self.files, self.store, self.policy = parts.files, parts.store, policy
        self._parts, self._jobs = parts, jobs
        jobs.add(BatchJob(parts))

    def answer_by(self, ask: AskLine) -> None:
        self._parts.ask = ask
        self._parts.doors.clear()

    def incoming(self, key_id: str) -> IncomingFile:
        """A place for a new file. Blocks (`files_full`)."""
        until = self._parts.clock.wall_us() + self.policy.keep_s * 1_000_000
        return IncomingFile(self.files, self.policy.limits, key_id, until)

    def remove_file(self, key_id: str, file: str) -> KeptFile:
        """Destroy a file of a key. Blocks (`file_not_found`, `file_in_use`)."""
        found = self.files.get(key_id, file)
        self.store.check_unused(file)
        self.store.forget_file(file)
        return found

    async def create(self, wanted: WantedBatch) -> StoredBatch:
        """Raises as `BatchStore.create` and `Jobs.start`."""
        batch = await asyncio.to_thread(self.store.create, wanted)
        try:
            return await self._begin(batch)
        except ApplianceError:
            await asyncio.to_thread(self.store.remove, batch)
            raise

    async def cancel(self, batch: str, key_id: str) -> StoredBatch:
        found = await asyncio.to_thread(self.store.cancel, batch, key_id)
        if found.job is not None:
            with contextlib.suppress(StateRefused):  # it ends already
                await self._jobs.cancel(found.job, _actor(key_id))
        await self.adopt()
        return await asyncio.to_thread(self.store.get, batch)

    async def adopt(self) -> None:
        for batch in await asyncio.to_thread(self.store.live):
            job = await self._job(batch)
            if job is not None and job.state in _GOES_ON:
                continue
            if job is not None and job.state is JobState.CANCELLED:
                await asyncio.to_thread(self.store.decide, batch.id, "cancelled")
            if job is None or job.code != _UNEXPECTED:
                await self._begin(batch)
                continue
            problem = LineProblem(_UNEXPECTED, job.message)  # again would end in the same way
            found = await asyncio.to_thread(self.store.decide, batch.id, "failed", [problem])
            await asyncio.to_thread(self.store.end, found)

    async def watch(self) -> None:
        while True:
            with contextlib.suppress(ApplianceError, SQLAlchemyError):  # again at the next look
                await self.adopt()
                await asyncio.to_thread(self.store.tidy)
            await asyncio.sleep(_LOOK_S)

    def starving(self) -> tuple[Told, ...]:
        """The running batches without an answer for long. Blocks."""
        now = self._parts.clock.wall_us()
        return tuple(
            Told(batch.id, f"{_done(batch)} since then it got none.", batch.moved_us)
            for batch in self.store.live()
            if batch.moved_us is not None
            and batch.status == "in_progress"
            and now - batch.moved_us >= self.policy.starves_s * 1_000_000
            and self._jobs.live(batch.job or 0) is not None
        )

    async def _begin(self, batch: StoredBatch) -> StoredBatch:
        params = {"batch": batch.id, "key": batch.key_id, "endpoint": batch.endpoint}
        live = await self._jobs.start(KIND, params, _actor(batch.key_id))
        return await asyncio.to_thread(self.store.given, batch.id, live.job.id)

    async def _job(self, batch: StoredBatch) -> StoredJob | None:
        if batch.job is None:
            return None
        try:
            return (await self._jobs.get(batch.job)).job
        except StateRefused:
            return None


def _actor(key_id: str) -> str:
    return f"key:{key_id}"


def _done(batch: StoredBatch) -> str:
    done = batch.completed + batch.failed
    return f"Batch {batch.id} of key {batch.key_id} has {done} of {batch.total} answers;"
