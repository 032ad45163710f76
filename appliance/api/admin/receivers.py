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
            wire.LogReceiver.told_by(
                one,
                oldest=None if one.oldest_us is None else iso(one.oldest_us),
                since=iso(one.since_us),
            )
            for one in services.forwarding.standings
        ]
    )
