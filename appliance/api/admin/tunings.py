"""Routes of tunings: the page of one, its losses while it trains, several side by side.

Rule: none shows an item or an answer.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

from fastapi import Query

from appliance.api.admin.deps import JobId, Routes, ServicesDep
from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.jobs.store import StoredJob
from appliance.reports.page import render
from appliance.trust.bytes.names import SIGNATURE_FILE
from appliance.tuning import comparing, dev_outcomes, losses, record
from appliance.tuning.exporting import ADAPTER, DIRECTORY
from appliance.tuning.report import TuningPageFacts, page
from appliance.wire.admin import tunings as wire
from appliance.wire.admin.results import AdapterTuned, TrainingRecord, read

router = Routes()
Against = Annotated[int | None, Query(ge=1, lt=1 << 53)]


@router.serves(wire.TUNING_REPORT)
def report(services: ServicesDep, job_id: JobId, against: Against = None) -> wire.TuningReport:
    """The page of a tuning, as one HTML file; perhaps compared with another tuning."""
    adapter = _directory(services, job_id) / ADAPTER
    facts, signed = record.read(adapter), (adapter / SIGNATURE_FILE).exists()
    held = None
    if against is not None:
        other = record.read(_directory(services, against) / ADAPTER)
        sides = [_side(services, against, other), _side(services, job_id, facts)]
        (held,) = comparing.paired(sides)
    told = TuningPageFacts(job_id, facts, str(adapter), signed, held)
    return wire.TuningReport(html=render(page(told)))


@router.serves(wire.TUNING_LOSSES)
def losses_of(services: ServicesDep, job_id: JobId) -> wire.Losses:
    """The losses of each run of a tuning so far."""
    return wire.Losses(
        runs=[
            wire.LossRun(
                name=run.name,
                points=[(p.step, p.loss, p.dev) for p in losses.thinned(run.points)],
            )
            for run in losses.read(_directory(services, job_id))
        ]
    )


@router.serves(wire.TUNINGS_COMPARE)
async def compare(services: ServicesDep, wanted: wire.CompareTunings) -> wire.TuningsCompared:
    """Tunings side by side: their differences and results."""
    jobs = [(await services.jobs.get(job_id)).job for job_id in wanted.tunings]
    results = [_result(job) for job in jobs]
    pairs = zip(wanted.tunings, results, strict=True)
    sides = [await asyncio.to_thread(_side, services, n, result) for n, result in pairs]
    return wire.TuningsCompared(
        tunings=[_tuned(job, result) for job, result in zip(jobs, results, strict=True)],
        differing=[
            wire.Differing(name=each.name, values=list(each.values))
            for each in comparing.differing(results)
        ],
        same_dev=comparing.same_dev(results),
        paired=[_paired(each) for each in comparing.paired(sides)],
    )


def _directory(services: Services, job_id: int) -> Path:
    return services.data / DIRECTORY / str(job_id)


def _side(services: Services, number: int, told: TrainingRecord) -> comparing.ComparedTuning:
    """A tuning with its outcomes on dev, or why none; `told` is its result or record."""
    kept = dev_outcomes.read(_directory(services, number), told.outcomes_sha256)
    return comparing.ComparedTuning(number, told.best, kept)


def _paired(found: comparing.PairedTunings) -> wire.Paired:
    return wire.Paired.told_by(
        found,
        differences=[
            wire.DevDifference(
                what=what,
                value=one.difference.value,
                interval=one.difference.interval,
                p_value=one.p_value,
                gained=len(one.gained),
                lost=len(one.lost),
            )
            for what, one in found.found
        ],
    )


def _result(job: StoredJob) -> AdapterTuned:
    found = read(job.kind, json.loads(job.result or "{}"))
    if not isinstance(found, AdapterTuned):
        raise TuningRefused("report_missing", f"Job {job.id} trained no adapter.")
    return found


def _tuned(job: StoredJob, result: AdapterTuned) -> wire.Tuned:
    dev, best = result.dev, result.chosen
    exported = next(one for one in result.seeds if one.seed == result.seed)
    return wire.Tuned.told_by(
        result,
        id=job.id,
        title=job.title,
        metric=dev.metric,
        value=dev.value,
        interval=dev.interval,
        groups=dev.groups,
        best=best.kind,
        best_value=best.value,
        best_interval=best.interval,
        dev_nats=exported.dev_nats,
    )
