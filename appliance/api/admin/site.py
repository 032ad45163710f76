"""The routes of the other appliances of a site."""

from typing import TYPE_CHECKING

import msgspec

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.auth import certificates
from appliance.clock import iso
from appliance.errors import PolicyRefused, StateRefused
from appliance.peers.documents import TravelLine
from appliance.peers.ring import PeerStanding
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.policy import members, people
from appliance.trust.policy.members import SiteMember
from appliance.wire.admin import site as wire

if TYPE_CHECKING:
    from appliance.wiring.site import SiteRoom

router = Routes()


@router.serves(wire.SITE)
def list_peers(services: ServicesDep) -> wire.SitePeerList:
    """Each peer, what it saw of our log and what we saw of its log; the documents."""
    told = wire.SitePeerList(peers=[_peer(services, one) for one in services.ring.standings])
    if services.site is None:
        return told
    exchange = services.site.exchange
    refused = [one for each in exchange.travels.values() for one in each.refused]
    mine = services.policy().site.members.get(exchange.hint)
    return told.model_copy(
        update={
            "member": mine.name if mine else "",
            "stale": exchange.standing.stale,
            "refused": [wire.SiteDocument.told_by(one) for one in refused],
            "waiting": [wire.SiteDocument.told_by(one) for one in exchange.travelling.waiting()],
        }
    )


def _peer(services: Services, one: PeerStanding) -> wire.SitePeer:
    told = wire.SitePeer.told_by(
        one,
        cosigned_at=iso(one.cosigned_us) if one.cosigned_us else None,
        seen_at=iso(one.seen_us) if one.seen_us else None,
        behind=max(0, services.audit.size - one.cosigned),
    )
    if services.site is None:
        return told
    exchange, mirrors = services.site.exchange, services.site.mirroring
    travel = exchange.travels[one.name]
    heard = exchange.standing.ago(travel.heard)
    told = told.model_copy(update={"documents": travel.problem, "heard_seconds": heard})
    for link in mirrors.links if mirrors else ():
        if link.name == one.name:
            told = told.model_copy(update={"mirrored": link.size, "mirror": link.failure})
    return told


@router.serves(wire.SITE_EXPORT)
def export_documents(services: ServicesDep) -> wire.SiteExport:
    """Every document that is kept here, for a stick."""
    travelling = _site(services).exchange.travelling
    travelling.publish()
    return wire.SiteExport(
        documents=[wire.SiteLine(**msgspec.to_builtins(line)) for line in travelling.all()]
    )


@router.serves(wire.SITE_IMPORT)
def import_documents(services: ServicesDep, wanted: wire.SiteDocuments) -> wire.SiteTaken:
    """Take documents from a stick, each verified by itself; what they change is in the log."""
    lines = (TravelLine(line.kind, line.envelope) for line in wanted.documents)
    new, refused = _site(services).exchange.travelling.take_all(lines)
    return wire.SiteTaken(new=new, refused=[wire.SiteDocument.told_by(one) for one in refused])


def _site(services: Services) -> "SiteRoom":
    if services.site is None:
        raise StateRefused("site_alone", "appliance.toml has no [peers].")
    return services.site


@router.serves(wire.SITE_KEYS)
def show_keys(services: ServicesDep) -> wire.SiteKeys:
    """The keys by which peers know this appliance."""
    genesis = services.reader.genesis().decode().strip()
    return wire.SiteKeys(log_key=genesis, witness_key=services.ring.witness.key.encode())


@router.serves(wire.SITE_JOIN)
def join_site(person: PersonDep, services: ServicesDep, wanted: wire.SiteJoin) -> wire.SiteRequest:
    """The signed request to be listed in the trust policy; it is recorded first."""
    if not people.usable(wanted.name):
        raise PolicyRefused("site_request", "The name of an appliance prints, without blanks.")
    key = evidence.ensure(services.data)
    log_key = services.reader.genesis().decode().strip()
    file = services.data / services.config.tls.certificate
    pinned = certificates.fingerprint_of(file) if wanted.pin else ""
    hint = ecdsa.hint(key.public_key())
    asked = SiteMember(wanted.name, log_key, hint, key.public_key(), pinned).asks(key)
    members.requested(asked)  # as the ceremony will read it
    deed = Draft.deed("site_join", person.actor, name=wanted.name, key=hint, certificate=pinned)
    services.audit.append(deed).result()
    return wire.SiteRequest(request=asked.decode(), key=hint)
