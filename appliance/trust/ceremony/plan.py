"""The plan of a ceremony: who holds which role, how many must sign, and the public keys so far.

    DIR/ceremony.json

Rules: a plan that no appliance would accept is not written; it holds no secret.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

from appliance.errors import Refused
from appliance.trust.bytes import durable
from appliance.trust.ceremony import officer
from appliance.trust.ceremony.officer import ROLES
from appliance.trust.policy import people

FILE: Final = "ceremony.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")


class RolePlace(NamedTuple):
    """One place in a role, and its holder."""

    role: str
    holder: str


@dataclass(frozen=True)
class CeremonyPlan:
    """Decisions before anybody signs.

    Attributes:
        days: how long the metadata of each role is valid.
        thresholds: how many holders of each role must sign.
        holders: public keys, PEM, by role and holder; "" while missing.
    """

    org: str
    days: Mapping[str, int]
    thresholds: Mapping[str, int]
    holders: Mapping[str, Mapping[str, str]]

    def check(self) -> None:
        """Refuse a plan that no appliance would accept (`ceremony_plan`)."""
        if not people.usable(self.org):
            raise _wrong(f"{self.org!r} cannot be the name of an organisation")
        for role in ROLES:
            have, need = len(self.holders[role]), self.thresholds[role]
            least = 2 if role == "root" else 1
            if not least <= need <= have:
                raise _wrong(f"{role} needs {need} of {have} holders, at least {least}")
        everybody = [name for names in self.holders.values() for name in names]
        if bad := [name for name in everybody if not _NAME.fullmatch(name)]:
            raise _wrong(f"{bad[0]!r} cannot be the name of a holder")
        if pair := people.lookalikes(everybody):
            raise _wrong(f"the holders {pair[0]!r} and {pair[1]!r} look like one")

    def keyless(self) -> list[RolePlace]:
        return [
            RolePlace(r, name) for r in ROLES for name, pem in self.holders[r].items() if not pem
        ]

    def with_key(self, place: RolePlace, pem: bytes) -> "CeremonyPlan":
        """The plan with the public key of a holder."""
        keyid = officer.public_key(pem, place.holder).keyid
        for names in self.holders.values():
            for other, text in names.items():
                if text and officer.public_key(text.encode(), other).keyid == keyid:
                    raise _wrong(f"{other} has this key already")
        return self._with(place.role, {**self.holders[place.role], place.holder: pem.decode()})

    def without(self, place: RolePlace, new: str) -> "CeremonyPlan":
        """The plan with another holder, or the same one without a key (`ceremony_plan`)."""
        names = {n: pem for n, pem in self.holders[place.role].items() if n != place.holder}
        changed = self._with(place.role, {**names, new: ""})
        changed.check()
        return changed

    def _with(self, role: str, names: Mapping[str, str]) -> "CeremonyPlan":
        holders = {**self.holders, role: names}
        return CeremonyPlan(self.org, self.days, self.thresholds, holders)


def make(
    org: str,
    holders: Mapping[str, list[str]],
    thresholds: Mapping[str, int],
    days: Mapping[str, int],
) -> CeremonyPlan:
    """A plan without keys."""
    for role in ROLES:
        names = holders.get(role, [])
        if len(set(names)) != len(names):
            raise _wrong(f"{role} names one holder twice")
    places = {role: dict.fromkeys(holders.get(role, []), "") for role in ROLES}
    plan = CeremonyPlan(org, dict(days), dict(thresholds), places)
    plan.check()
    return plan


def load(directory: Path) -> CeremonyPlan:
    """Read the plan. Raises FileNotFoundError; Refused (`ceremony_plan`) for another file."""
    try:
        return CeremonyPlan(**json.loads((directory / FILE).read_text()))
    except (ValueError, TypeError) as error:
        raise _wrong(f"{directory / FILE} is not the plan of a ceremony") from error


def save(directory: Path, plan: CeremonyPlan) -> None:
    """Replace the plan."""
    durable.replace(directory / FILE, json.dumps(asdict(plan), indent=1).encode(), 0o644)


def _wrong(what: str) -> Refused:
    return Refused("ceremony_plan", f"{what[0].upper()}{what[1:]}.")
