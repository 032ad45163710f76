"""`GET /metrics` of the admin socket, and its text for the port of Prometheus."""

import asyncio
from collections import Counter

from fastapi import Response

import appliance
from appliance.api.admin.deps import Routes, State
from appliance.api.admin.facts import certificate
from appliance.api.admin.status import incidents, server_state
from appliance.app import Services
from appliance.governance import backups
from appliance.host.hardware import host_facts
from appliance.incidents.rules import RULES
from appliance.jobs.states import JobState as JobState
from appliance.observability.metrics import CONTENT_TYPE
from appliance.wire.admin.models import METRICS

router = Routes()
_STATES = ("serving", "loading", "idle", "refusing", "stopped")


@router.serves(METRICS)
async def metrics(state: State) -> Response:
    """Every counter; what is a state is looked at now."""
    unknown = tuple(state.roles.unresolved)
    text = await asyncio.to_thread(exposition, state.services, unknown, served=state.served)
    return Response(text, media_type=CONTENT_TYPE)


def exposition(services: Services, unknown_roles: tuple[str, ...], *, served: bool = True) -> str:
    """The text that Prometheus reads; blocks."""
    found = services.metrics
    workers = services.supervisor.status()
    for worker in workers:
        waiting = services.shares.queued(worker.model) + worker.queued
        found.queued.labels(worker.model).set(waiting)
        found.running.labels(worker.model).set(worker.running)
        found.kv_cells.labels(worker.model).set(worker.kv_used)
        found.restarts.labels(worker.model)  # from 0 on
    found.latched.set(1 if services.audit.latched else 0)
    found.entries.set(services.audit.size)
    found.info.labels(appliance.__version__, services.profile, services.supervisor.engine).set(1)
    now = server_state(served, services.audit.latched, workers)
    for each in _STATES:
        found.state.labels(each).set(each == now)
    count = Counter(a.code for a in incidents(services, unknown_roles))
    for rule in RULES:
        found.alarms.labels(rule.code, rule.level).set(count[rule.code])
    host = host_facts(services.data)
    found.disk_free.set(host.disk_free)
    found.disk_total.set(host.disk_total)
    listener = certificate(services.data, services.config)
    if listener is not None and listener.ends_us is not None:
        found.certificate_ends.labels("server").set(listener.ends_us // 1_000_000)
    last = services.reader.last_witness()
    seen = 0 if last is None else int(str(last.body["size"]))
    found.unwitnessed.set(services.audit.size - seen)
    for standing in services.forwarding.standings:
        found.behind.labels(standing.name).set(standing.behind)
    jobs = services.jobs.store.counts()
    for each in JobState:
        found.jobs.labels(each).set(jobs.get(each, 0))
    hosts = Counter((u.name, h.state) for u in services.upstreams.all.values() for h in u.hosts)
    found.upstream_hosts.clear()
    for labels, number in hosts.items():
        found.upstream_hosts.labels(*labels).set(number)
    made = backups.known(services.data)
    found.backup.set(made[-1].made_us // 1_000_000 if made else 0)
    return found.text()
