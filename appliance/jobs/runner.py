"""One run of a job, from the entry of its start to the entry of its end.

Rules: these entries are durable before the state changes, but a kind that only reads also runs
while the log cannot be written. Work stops at a safe point only. A result leaves only after the end
is recorded and kept.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any, Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import ApplianceError, AuditUnavailable, Unavailable
from appliance.jobs.kind import Context, Stop, Waits, digest, dumps
from appliance.jobs.live import Live, explained
from appliance.jobs.states import LIVE, JobState, following
from appliance.jobs.store import JobStore, StoredJob, columns_of
from appliance.types import Json
from appliance.wire.admin.base import Verbatim

_NOTE_S: Final = 2.0
"""How often the progress of a running job is kept."""
_PARAMS_IN_LOG: Final = 4_096
_log = logging.getLogger("appliance")


class Memory(Protocol):
    """The memory that models and heavy jobs share."""

    async def hold(self, job: str, size: int) -> None:
        """Take bytes for a job (`insufficient_memory`)."""

    def free(self, job: str) -> None:
        """Give back what a job holds."""


class Runner:
    """Runs jobs; `served` by a server, the next one resumes what is left."""

    def __init__(self, store: JobStore, audit: AuditLog, memory: Memory | None) -> None:
        self._store, self._audit, self._memory = store, audit, memory
        self.served = False

    def lend(self, memory: Memory) -> None:
        self._memory = memory

    async def run(self, live: Live) -> Verbatim | BaseException:
        """Run one job until it ends or stops; its result, or the error."""
        ended: Verbatim | BaseException
        try:
            await self._begin(live)
            while True:
                try:
                    ended = await self._work(live)
                    break
                except Stop:
                    if not await self._resumed(live):
                        raise
        except asyncio.CancelledError:
            ended = live.stopped()
        except Exception as error:
            ended = error
            if not isinstance(error, ApplianceError):
                _log.exception("job %d (%s) failed", live.job.id, live.kind.name)
        return await self.settle(live, ended)

    async def _resumed(self, live: Live) -> bool:
        job = await asyncio.to_thread(self._store.get, live.job.id)
        return live.asked in ("", "pause") and job.state is JobState.RUNNING

    async def _begin(self, live: Live) -> None:
        job = live.job
        params = json.dumps(json.loads(job.params), sort_keys=True)[:_PARAMS_IN_LOG]
        fields: dict[str, Json] = {"actor": job.actor, "job": job.id, "work": job.kind}
        fields |= {"title": job.title, "params": params, "resumed": live.resumed}
        await self._record(live, Draft("job_start", fields))
        with writable():
            await asyncio.to_thread(self._store.advance, job.id, "start")

    async def _work(self, live: Live) -> Verbatim:
        owner, needs = f"job {live.job.id}", live.kind.needs(live.params)
        if needs and self._memory is not None:
            await self._memory.hold(owner, needs)
        self._store.check(live.job.id)
        kept = await asyncio.to_thread(self._store.get, live.job.id)
        context = Context(
            live.job.id,
            live.job.actor,
            live.params,
            kept.checkpoint,
            live.resumed,
            live.job.created_us,
            live.report,
            live.check,
            lambda checkpoint: self._store.save(live.job.id, checkpoint),
        )
        live.resumed = True
        noting = asyncio.create_task(self._keep_noting(live))
        try:
            result: Verbatim = await live.kind.run(context)
            dumps(result.document)
            return result
        finally:
            noting.cancel()
            if needs and self._memory is not None:
                self._memory.free(owner)

    async def _keep_noting(self, live: Live) -> None:
        noted = live.progress
        while True:
            await asyncio.sleep(_NOTE_S)
            if live.progress is not noted:
                noted = live.progress
                with contextlib.suppress(SQLAlchemyError):  # progress is not worth an error
                    await asyncio.to_thread(self._store.note, live.job.id, noted)

    async def settle(self, live: Live, ended: Verbatim | BaseException) -> Verbatim | BaseException:
        """Record the end, then change the state; the result."""
        try:
            return await self._keep(live, ended)
        except Exception as error:
            _log.exception("the end of job %d was not kept", live.job.id)
            return error

    async def _keep(self, live: Live, ended: Verbatim | BaseException) -> Verbatim | BaseException:
        job = await asyncio.to_thread(self._store.get, live.job.id)
        if job.state not in LIVE and job.state is not JobState.QUEUED:
            stop = live.stopped()
            await self._record(live, end_entry(job, job.state, stop.code, stop.message))
            return stop  # it was steered before its work began
        event, kept = self._event(live, ended)
        code, message = kept.get("code", ""), kept.get("message", "")
        result = "" if isinstance(ended, BaseException) else digest(ended.document)
        draft = end_entry(job, following(job.state, event), code, message, result)
        try:
            await self._record(live, draft)
        except AuditUnavailable as error:
            ended = error
            event, kept = "fail", columns(error)
        far = columns_of(live.progress)
        await asyncio.to_thread(self._store.advance, job.id, event, **far, **kept)
        return ended

    def _event(self, live: Live, ended: Verbatim | BaseException) -> tuple[str, dict[str, Any]]:
        if not isinstance(ended, BaseException):
            return "finish", {"result": dumps(ended.document), "code": "", "message": ""}
        kept = columns(explained(ended))
        if isinstance(ended, Waits):
            return "shelve", kept
        if not isinstance(ended, Stop):
            return "fail", kept
        resumable = live.kind.resumable
        if live.asked == "leave":
            return "shelve" if resumable else "drop", kept
        if live.asked in ("pause", "cancel"):
            return "stop", kept
        if not resumable:
            return "lose", kept
        return "requeue" if self.served else "shelve", kept

    async def _record(self, live: Live, draft: Draft) -> None:
        try:
            await append(self._audit, draft)
        except AuditUnavailable:
            if not live.kind.read_only:
                raise
            _log.warning("job %d (%s) is not in the audit log", live.job.id, live.kind.name)


def end_entry(job: StoredJob, state: JobState, code: str, message: str, result: str = "") -> Draft:
    """The entry of an end of work, or of its interruption; with the digest of a result."""
    fields: dict[str, Json] = {"actor": job.actor, "job": job.id, "work": job.kind}
    fields |= {"title": job.title, "state": state.value, "code": code, "reason": message}
    if result:
        fields["result_sha256"] = result
    return Draft("job_end", fields)


def columns(error: ApplianceError) -> dict[str, str]:
    """The error of a job as columns."""
    return {"code": error.code, "message": error.message}


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Turn errors of the database into Unavailable (`jobs_unwritable`)."""
    try:
        yield
    except SQLAlchemyError as error:
        message = f"appliance.db cannot be written ({type(error).__name__})."
        raise Unavailable("jobs_unwritable", message) from error
