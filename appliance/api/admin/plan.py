"""The plan route: a preview of an import from the server's host."""

from pathlib import Path

from fastapi.responses import StreamingResponse

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.api.admin.stream import stream
from appliance.registry import import_preview as planning
from appliance.types import Report
from appliance.wire.admin import plan as wire
from appliance.workers.memory_estimate import MIB

router = Routes()


@router.serves(wire.MODEL_PLAN)
def plan_import(services: ServicesDep, wanted: wire.PlanRequest) -> StreamingResponse:
    """Examine an artifact where it is, as a stream of JSON lines."""
    path = Path(wanted.path)

    def work(report: Report) -> wire.ImportPlan:
        found = planning.plan(
            path,
            path.name if wanted.id is None else wanted.id,
            services.policy(),
            services.supervisor.estimate,
            services.lifecycle.records(),
            services.clock.wall_us(),
            report,
            services.store.check_base,
            wanted.against,
            services.store.inventory.other,
        )
        budget = services.supervisor.budget.total // MIB
        taken = services.supervisor.budget.taken // MIB
        fits = taken + found.memory_mib <= budget
        return found.model_copy(update={"budget_mib": budget, "fits": fits})

    return stream(work)
