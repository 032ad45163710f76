"""Routes of the comparison of `appliance.db` with the audit log.

Rules: all people see the differences; only an admin settles them, and the log has how.
"""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.wire.admin import state as wire

router = Routes()


@router.serves(wire.STATE)
def show(services: ServicesDep) -> wire.State:
    """Show the result of the last comparison."""
    return _shown(services)


@router.serves(wire.STATE_SETTLE)
def settle(person: PersonDep, services: ServicesDep, wanted: wire.Settle) -> wire.State:
    """Make rows as strict as the log, and continue from there; recorded before."""
    services.agreement.settle(person.actor, wanted.reason)
    return _shown(services)


def _shown(services: Services) -> wire.State:
    found = services.agreement.standing
    return wire.State(
        agrees=not found.alarms(),
        ends_early=found.ends_early,
        entries=services.agreement.size,
        differences=[
            wire.StateDifference(
                table=one.table,
                subject=one.subject,
                what=one.what,
                names=list(one.names),
                entry=None if one.seq < 0 else one.seq,
                sentence=one.sentence(),
            )
            for one in found.differences
        ],
    )
