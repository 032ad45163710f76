"""Routes of evaluations: the page of one that is done. Their jobs are started like every job."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path

from appliance.api.admin.deps import ServicesDep, Viewer
from appliance.evals.job import DIRECTORY
from appliance.evals.store import read_report
from appliance.wire.admin import evaluations as wire

router = APIRouter(prefix="/admin/evaluations")


@router.get("/{job_id}/report")
async def report(
    _: Viewer, services: ServicesDep, job_id: Annotated[int, Path(ge=1, lt=1 << 53)]
) -> wire.Report:
    """The page of an evaluation, as one HTML file."""
    html = await asyncio.to_thread(read_report, services.data / DIRECTORY, job_id)
    return wire.Report(html=html)
