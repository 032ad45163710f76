"""The status route: the whole appliance at a glance, and what needs a person's attention."""

import contextlib
from typing import Literal, TypeAlias, cast

from fastapi import APIRouter

import appliance
from appliance.advisor import watch
from appliance.api.admin.deps import AdminState, State, Viewer
from appliance.api.admin.models import model_of
from appliance.app import Services
from appliance.audit import checkpoint
from appliance.clock import iso
from appliance.errors import Refused
from appliance.host import hardware
from appliance.observability import unexpected
from appliance.trust.store import load_policy
from appliance.wire.admin import models as wire
from appliance.workers.memory_estimate import MIB

ServerState: TypeAlias = Literal["serving", "loading", "idle", "refusing", "stopped"]
router = APIRouter(prefix="/admin")


@router.get("/status")
def show_status(person: Viewer, state: State) -> wire.Status:
    """The appliance, its models, workers, log and host."""
    services = state.services
    facts = hardware.host_facts(services.data)
    workers = services.supervisor.status()
    return wire.Status(
        version=appliance.__version__,
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
        host=_host_of(facts),
        alarms=_alarms(state, facts),
    )


def server_state(served: bool, latched: str | None, workers: list[wire.Worker]) -> ServerState:
    """One word for the whole: the worst thing that is true."""
    if latched:
        return "refusing"
    if not served:
        return "stopped"
    states = {worker.state for worker in workers}
    if "ready" in states:
        return "serving"
    return "loading" if states & {"starting", "restarting"} else "idle"


def _alarms(state: AdminState, facts: hardware.HostFacts) -> list[str]:
    services = state.services
    alarms = list(hardware.problems(facts))
    if services.audit.latched:
        alarms.append(f"The audit log cannot be written: {services.audit.latched}.")
    if services.audit.alarm:
        alarms.append(services.audit.alarm)
    reserve = services.config.audit.reserve_mib << 20
    if facts.disk_free < reserve:
        alarms.append(
            f"{facts.disk_free >> 20} MiB of disk are free; below {reserve >> 20} MiB"
            " new requests are refused."
        )
    try:
        alarms += services.trust.freshness().alarms()
    except Refused as error:
        alarms.append(f"{error.message} ({error.code})")
    with contextlib.suppress(Refused):  # without a policy nothing is served, and trust says so
        policy = load_policy(services.data / "trust")
        alarms += [*services.store.alarms(policy), *services.routes.alarms(policy)]
    alarms += [f"[admin.roles] names {name!r}, who is unknown." for name in state.roles.unresolved]
    alarms += [
        f"The files of model {record.id} are not on this host: import the artifact with the digest"
        f" {record.digest} under the same id."
        for record in services.lifecycle.records()
        if record.state == "missing"
    ]
    alarms += [
        f"Model {record.id} is served, but a re-check found {record.code}: {record.message}"
        for record in services.lifecycle.records()
        if record.state == "serving" and record.code
    ]
    alarms += [
        f"Task {record.id} is suspended: {record.message}"
        for record in services.lifecycle.records()
        if record.state == "suspended" and (record.code or "").startswith("evaluation_")
    ]
    alarms += unexpected.alarms(services.metrics)
    alarms += watch.alarms(services.data / watch.DIRECTORY)
    alarms += [
        f"Route {notice.route}: {notice.message} ({notice.code})."
        for notice in services.monitors.notices()
    ]
    alarms += [
        f"Model {worker.model} computes on the processor: {worker.device.warning}"
        for worker in services.supervisor.status()
        if worker.device.warning
    ]
    alarms += [
        f"Model {worker.model} is held on the disk, not in sealed memory: a weaker claim."
        for worker in services.supervisor.status()
        if worker.held == "disk"
    ]
    alarms += [
        f"Model {worker.model} is {worker.state}."
        for worker in services.supervisor.status()
        if worker.state in ("restarting", "suspended")
    ]
    return alarms


def _audit_head(services: Services) -> wire.AuditHead:
    head = checkpoint.parse(services.reader.checkpoint().encode()).checkpoint
    last = services.reader.last_witness()
    return wire.AuditHead(
        entries=head.size,
        root=head.root.hex(),
        latched=services.audit.latched,
        unwitnessed=head.size - (0 if last is None else cast(int, last.body["size"])),
        witnessed=None if last is None else iso(last.time_us),
    )


def _host_of(facts: hardware.HostFacts) -> wire.Host:
    return wire.Host.model_validate(facts, from_attributes=True)
