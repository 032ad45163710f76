"""The route of usage over time."""

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.api.admin.times import microseconds
from appliance.clock import iso
from appliance.types import UsedBy, UsedPer
from appliance.wire.admin import metering as wire

router = Routes()
_ANSWER_S = 1.0


@router.serves(wire.USAGE)
def show_usage(
    services: ServicesDep,
    by: UsedBy = "app",
    per: UsedPer = "day",
    since: str | None = None,
    until: str | None = None,
) -> wire.UsageReport:
    """Sums by period and name."""
    counted = services.usage.follow(_ANSWER_S)
    since_us = 0 if since is None else microseconds(since, "since")
    until_us = None if until is None else microseconds(until, "until")
    found = services.usage.used(by, per, since_us, until_us)
    return wire.UsageReport(
        by=by,
        per=per,
        known=iso(counted.known_us),
        left=counted.left,
        rows=[
            wire.UsageRow.told_by(sums, period=period, name=name, seconds=sums.busy_us / 1e6)
            for (period, name), sums in found.items()
        ],
    )
