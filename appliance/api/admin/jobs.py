"""Routes of the jobs: look, start, pause, resume, cancel.

Rules: steering a job takes the role of its kind, at least operator; the table of its states says
which actions it allows.
"""

import asyncio
import json
from typing import Annotated

from fastapi import Query

from appliance.api.admin.deps import JobId, Person, PersonDep, Routes, ServicesDep, demand
from appliance.app import Services
from appliance.clock import iso
from appliance.errors import CODES
from appliance.jobs.jobs import ShownJob
from appliance.wire.admin import jobs as wire
from appliance.wire.admin.results import CalibrationResult, GateResult, read

router = Routes()


@router.serves(wire.JOBS)
async def list_jobs(
    services: ServicesDep, count: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> wire.JobList:
    """The newest jobs."""
    found = await services.jobs.newest(count)
    return wire.JobList(jobs=[job_of(shown, whole=False) for shown in found])


@router.serves(wire.JOB)
async def show_job(services: ServicesDep, job_id: JobId) -> wire.Job:
    """One job with its result."""
    found = job_of(await services.jobs.get(job_id))
    if not isinstance(found.result, GateResult | CalibrationResult):
        return found
    counted = await asyncio.to_thread(services.ledger.counted, job_id)
    if counted is None:
        return found
    # As the ledger counts them now: other gates have looked since.
    taken, left = counted
    return found.model_copy(update={"result": found.result.having(looks=taken, looks_left=left)})


@router.serves(wire.JOB_START)
async def start_job(person: PersonDep, services: ServicesDep, wanted: wire.JobStart) -> wire.Job:
    """Start a job that continues when the caller leaves."""
    demand(person, services.jobs.kind(wanted.kind).role)
    live = await services.jobs.start(wanted.kind, wanted.params, person.actor)
    return job_of(await services.jobs.get(live.job.id))


@router.serves(wire.JOB_PAUSE)
async def pause_job(person: PersonDep, services: ServicesDep, job_id: JobId) -> wire.Job:
    """Stop it at its next safe point, to be resumed."""
    await _may(person, services, job_id)
    return job_of(await services.jobs.pause(job_id, person.actor))


@router.serves(wire.JOB_RESUME)
async def resume_job(person: PersonDep, services: ServicesDep, job_id: JobId) -> wire.Job:
    """Continue it where it stopped."""
    await _may(person, services, job_id)
    return job_of(await services.jobs.resume(job_id, person.actor))


@router.serves(wire.JOB_CANCEL)
async def cancel_job(person: PersonDep, services: ServicesDep, job_id: JobId) -> wire.Job:
    """End it for good at its next safe point."""
    await _may(person, services, job_id)
    return job_of(await services.jobs.cancel(job_id, person.actor))


async def _may(person: Person, services: Services, job_id: int) -> None:
    shown = await services.jobs.get(job_id)
    demand(person, services.jobs.kind(shown.job.kind).role)


def job_of(shown: ShownJob, *, whole: bool = True) -> wire.Job:
    """A job in its schema; with its result if `whole`."""
    job = shown.job
    return wire.Job.told_by(
        job,
        heavy=shown.heavy,
        actions=list(shown.actions),
        progress=wire.JobProgress.told_by(job.progress),
        created=iso(job.created_us),
        started=None if job.started_us is None else iso(job.started_us),
        ended=None if job.ended_us is None else iso(job.ended_us),
        hint=CODES[job.code].hint if job.code in CODES else "",
        params=json.loads(job.params),
        result=read(job.kind, json.loads(job.result)) if whole and job.result else None,
    )
