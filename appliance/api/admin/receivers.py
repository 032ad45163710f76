"""The route of the receivers of the audit log."""

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.clock import iso
from appliance.wire.admin import receivers as wire

router = Routes()


@router.serves(wire.RECEIVERS)
def list_receivers(services: ServicesDep) -> wire.LogReceiverList:
    """Each receiver, and how far it is."""
    return wire.LogReceiverList(
        receivers=[
            wire.LogReceiver(
                name=one.name,
                to=one.to,
                next=one.next,
                behind=one.behind,
                oldest=None if one.oldest_us is None else iso(one.oldest_us),
                problem=one.problem,
                since=iso(one.since_us),
                repeats=one.repeats,
            )
            for one in services.forwarding.standings
        ]
    )
