"""The routes of the other appliances of a site."""

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.clock import iso
from appliance.wire.admin import site as wire

router = Routes()


@router.serves(wire.SITE)
def list_peers(services: ServicesDep) -> wire.SitePeerList:
    """Each peer, what it saw of our log and what we saw of its log."""
    return wire.SitePeerList(
        peers=[
            wire.SitePeer(
                name=one.name,
                url=one.url,
                cosigned=one.cosigned,
                cosigned_at=iso(one.cosigned_us) if one.cosigned_us else None,
                seen=one.seen,
                seen_at=iso(one.seen_us) if one.seen_us else None,
                problem=one.problem,
                differs=one.differs,
            )
            for one in services.ring.standings
        ]
    )


@router.serves(wire.SITE_KEYS)
def show_keys(services: ServicesDep) -> wire.SiteKeys:
    """The keys by which peers know this appliance."""
    genesis = services.reader.genesis().decode().strip()
    return wire.SiteKeys(log_key=genesis, witness_key=services.ring.witness.key.encode())
