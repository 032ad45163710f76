"""The trust screen: the policy in force and the people who sign."""

from collections.abc import Sequence

from textual.content import Content

from appliance.wire.admin.trust import Trust
from tui.text import alarm, cell, labelled, line, quiet, state
from tui.view.expiry import Ending, soon
from tui.view.units import clock, count, many


def summary(found: Sequence[Ending], now: float) -> Content:
    """Write the counts."""
    near = soon(found, now)
    verb = "ends" if len(near) == 1 else "end"
    told = f"{count(len(near))} of {count(len(found))} {verb} within 30 days"
    return cell(f"! {told}", "$text-warning") if near else quiet(told)


def policy(found: Trust, width: int) -> list[Content]:
    """The policy in force."""
    said = labelled("policy", f"version {found.version} of {found.org}", width)
    said += labelled("issued", f"{clock(found.issued)}, profile {found.profile}", width)
    meta = found.metadata
    if meta is not None:
        said += labelled("metadata", line(state(meta.state), f"until {clock(meta.expires)}"), width)
        said += labelled("root", meta.root, width)
        for told in meta.alarms:
            said.append(alarm(told))
    for name, role in found.roles.items():
        need = quiet(f"{role.threshold} of {len(role.holders)} sign")
        said += [Content(""), line(cell(name, "bold"), need)]
        wide = max((len(holder.person) for holder in role.holders), default=0)
        for holder in role.holders:
            revoked = state("revoked") if holder.revoked else ""
            named = holder.person.ljust(wide)
            said.append(Content("  ") + line(named, quiet(holder.key[:16]), revoked))
    gone = {
        "key": found.revoked_keys, "artifact": found.revoked_digests,
        "certificate": found.revoked_serials, "engine": found.revoked_engines,
    }  # fmt: skip
    told = ", ".join(many(len(which), name) for name, which in gone.items() if which)
    return [*said, Content(""), *labelled("revoked", told or "nothing", width)]
