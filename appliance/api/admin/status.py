"""The status route: the whole appliance at a glance, and what needs a person's attention."""

from typing import Literal, TypeAlias, cast

import appliance
from appliance.api.admin.deps import PersonDep, Routes, State
from appliance.api.admin.facts import gathered
from appliance.api.admin.incidents import of_alarm
from appliance.api.admin.models import model_of
from appliance.app import SCHEMA, Services
from appliance.audit import checkpoint
from appliance.clock import iso
from appliance.host import hardware
from appliance.incidents import rules
from appliance.incidents.rules import Alarm
from appliance.serving.replays import counted
from appliance.wire.admin import models as wire
from appliance.workers.memory_estimate import MIB

ServerState: TypeAlias = Literal["serving", "loading", "idle", "refusing", "stopped"]
router = Routes()


@router.serves(wire.STATUS)
def show_status(person: PersonDep, state: State) -> wire.Status:
    """The appliance, its models, workers, log and host."""
    services = state.services
    facts = hardware.host_facts(services.data)
    workers = services.supervisor.status()
    found = incidents(services, tuple(state.roles.unresolved))
    return wire.Status(
        version=appliance.__version__,
        schema_version=SCHEMA,
        profile=services.profile,
        state=server_state(state.served, services.audit.latched, workers),
        role=person.role,
        data=str(services.data),
        url=state.url,
        uptime_seconds=max(0, services.clock.wall_us() - services.started_us) // 1_000_000,
        budget_mib=services.pool.budget.total // MIB,
        taken_mib=services.pool.budget.taken // MIB,
        indexes_mib=services.pool.budget.cached // MIB,
        models=[model_of(services, record) for record in services.lifecycle.records()],
        workers=workers,
        audit=_audit_head(services),
        host=wire.Host.told_by(facts),
        alarms=[alarm.message for alarm in found],
        incidents=[of_alarm(alarm) for alarm in found],
    )


def incidents(services: Services, unknown_roles: tuple[str, ...]) -> tuple[Alarm, ...]:
    """Everything wrong now, critical things first. Blocks."""
    facts = gathered(services, unknown_roles)
    return services.incidents.dated(rules.alarms(facts), facts.now_us)


def server_state(served: bool, latched: str | None, workers: list[wire.Worker]) -> ServerState:
    """The worst thing that is true."""
    if latched:
        return "refusing"
    if not served:
        return "stopped"
    states = {worker.state for worker in workers}
    if "ready" in states:
        return "serving"
    return "loading" if states & {"starting", "restarting"} else "idle"


def _audit_head(services: Services) -> wire.AuditHead:
    head = checkpoint.parse(services.reader.checkpoint().encode()).checkpoint
    last = services.reader.last_witness()
    replays, differ = counted(services.jobs.store), services.replays.all()
    return wire.AuditHead(
        entries=head.size,
        root=head.root.hex(),
        latched=services.audit.latched,
        unwitnessed=head.size - (0 if last is None else cast(int, last.body["size"])),
        witnessed=None if last is None else iso(last.time_us),
        replayed=replays.same + replays.differ,
        replayed_same=replays.same,
        difference=int(differ[0].subject) if differ else None,
    )
