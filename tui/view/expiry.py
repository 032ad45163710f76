"""Things that end by themselves, the next first: metadata, evaluations, routes' certificates, keys.

Rules: what a person ended already is not listed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.wire.admin.gates import Certificate
from appliance.wire.admin.keys import Key
from appliance.wire.admin.routes import Route
from appliance.wire.admin.trust import Trust
from tui.columns import Column
from tui.text import Cell, alarm, cell
from tui.view.units import clock, duration, until

COLUMNS: Final = (
    Column("ENDS", 19),
    Column("LEFT", 12, right=True),
    Column("KIND", 14),
    Column("NAME", 0, least=14),
)
SOON: Final = 30 * 86_400.0


@dataclass(frozen=True)
class Ending:
    """Something with an end, and the place where it is renewed."""

    ends: str
    kind: str
    name: str
    place: str


def endings(
    trust: Trust | None,
    certificates: Iterable[Certificate],
    routes: Iterable[Route],
    keys: Iterable[Key],
) -> list[Ending]:
    """All that ends, the next first."""
    found = [
        Ending(one.valid_until, "evaluation", one.task, "Tasks")
        for one in certificates
        if one.usable
    ]
    for route in routes:
        found += [
            Ending(one.valid_until, "route", route.id, "Routes")
            for one in route.certificates
            if one.verdict == "certified" and not one.suspended
        ]
    found += [Ending(k.expires, "key", k.name, "Keys") for k in keys if k.expires and not k.revoked]
    if trust is not None and trust.metadata is not None:
        found.append(Ending(trust.metadata.expires, "trust", "metadata", "Trust"))
    return sorted(found, key=lambda one: one.ends)


def soon(found: Sequence[Ending], now: float) -> list[Ending]:
    """Those that end within 30 days, or have ended."""
    return [one for one in found if until(one.ends, now) <= SOON]


def row(one: Ending, now: float) -> Sequence[Cell]:
    """One line."""
    left = until(one.ends, now)
    said = duration(left)
    told: Cell = alarm("expired") if left <= 0 else cell(said, "$text-warning" * (left <= SOON))
    return clock(one.ends), told, one.kind, one.name
