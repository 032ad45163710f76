"""Routes of upstreams: list, reload, learn, approve, probe, drain.

Rules: an admin has one learnt, approvers approve its hosts, operators do the rest;
`routing/upstreams/service.py` has the conditions.
"""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.routing.upstreams.hosts import ConfiguredUpstream, UpstreamPeer
from appliance.wire.admin import upstreams as wire
from appliance.wire.admin.models import Approval

router = Routes()


@router.serves(wire.UPSTREAMS)
def upstreams(services: ServicesDep) -> wire.UpstreamList:
    """All upstreams of appliance.toml."""
    return _all(services)


def _all(services: Services) -> wire.UpstreamList:
    known = services.upstreams
    found = [_shown(services, one) for one in known.all.values()]
    for name, why in known.broken.items():
        config = known.config[name]
        found.append(wire.Upstream(name=name, kind=config.kind, model=config.model, broken=why))
    return wire.UpstreamList(upstreams=found)


@router.serves(wire.UPSTREAMS_RELOAD)
async def reload(person: PersonDep, services: ServicesDep) -> wire.UpstreamList:
    """Read them from appliance.toml again; one that cannot be used changes nothing."""
    await services.upstreams.reload(person.actor)
    return _all(services)


@router.serves(wire.UPSTREAM)
def upstream(services: ServicesDep, name: str) -> wire.Upstream:
    """One upstream."""
    return _shown(services, services.upstreams.get(name))


@router.serves(wire.UPSTREAM_LEARN)
async def learn(person: PersonDep, services: ServicesDep, name: str) -> wire.Upstream:
    """Learn how it answers; its hosts need approvals after that."""
    return _shown(services, await services.upstreams.learn(person.actor, name))


@router.serves(wire.UPSTREAM_APPROVE)
def approve(
    person: PersonDep, services: ServicesDep, name: str, upload: wire.UpstreamApproval
) -> wire.Upstream:
    """Check and keep one approval of a host."""
    services.check_heard()
    services.upstreams.approve(person.actor, name, upload.url, upload.envelope.encode())
    return _shown(services, services.upstreams.get(name))


@router.serves(wire.UPSTREAM_PROBE)
async def probe(person: PersonDep, services: ServicesDep, name: str) -> wire.Upstream:
    """Probe its hosts now."""
    return _shown(services, await services.upstreams.probe(person.actor, name))


@router.serves(wire.UPSTREAM_DRAIN)
async def drain(
    person: PersonDep, services: ServicesDep, name: str, wanted: wire.UpstreamDrain
) -> wire.Upstream:
    """Keep new requests from a host, or let them come again."""
    found = await services.upstreams.drain(person.actor, name, wanted.url, drained=wanted.drained)
    return _shown(services, found)


def _shown(services: Services, upstream: ConfiguredUpstream) -> wire.Upstream:
    if not any(host.record for host in upstream.hosts):
        services.upstreams.refresh(upstream)
    return wire.Upstream(
        name=upstream.name,
        kind=upstream.config.kind,
        model=upstream.config.model,
        identity=upstream.identity,
        hosts=[_host(services, host) for host in upstream.hosts],
    )


def _host(services: Services, host: UpstreamPeer) -> wire.UpstreamHost:
    return wire.UpstreamHost.told_by(
        host.health,
        url=host.url,
        state=host.state,
        approvals=[Approval.told_by(one) for one in services.upstreams.approvals(host)],
        record=None if host.record is None else host.record.document(),
        outstanding=host.health.running,
        breaker=host.health.reach,
        probed_seconds=host.health.probed_ago,
    )
