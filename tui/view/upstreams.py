"""The upstreams screen: hosts with state, reason, models and last probe.

Rules: one row for each host; an upstream that cannot be used has one row that says why.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import ago
from appliance.wire.admin.upstreams import (
    UPSTREAM_TABLE,
    HostOf,
    Upstream,
    hosts_of,
)
from tui.columns import Column, cells, listed
from tui.text import Cell, alarm, cell, labelled, line, quiet
from tui.view.units import count, many

COLUMNS: Final = (
    listed(UPSTREAM_TABLE, "NAME", 14, name="UPSTREAM"),
    listed(UPSTREAM_TABLE, "HOST", 26, drop=1),
    listed(UPSTREAM_TABLE, "STATE", 13),
    listed(UPSTREAM_TABLE, "RUNNING", 7, drop=3),
    Column("LAST PROBE", 10, right=True, drop=2),
    listed(UPSTREAM_TABLE, "NEWEST PROBLEM", 0, name="WHY", least=12),
)
_USABLE: Final = ("ready", "busy", "suspect")


def row(one: HostOf) -> Sequence[Cell]:
    """One host."""
    return cells(COLUMNS, one, {"LAST PROBE": ago(one.host.probed_seconds) if one.host else "-"})


def counted(found: Sequence[Upstream]) -> str:
    """Count upstreams and hosts."""
    hosts = sum(len(one.hosts) for one in found)
    return f"{many(len(found), 'upstream')}, {many(hosts, 'host')}"


def summary(found: Sequence[Upstream], shown: int) -> Content:
    """Write the counts."""
    asked = sum(host.state in _USABLE for one in found for host in one.hosts)
    told = f"{counted(found)}, {count(asked)} asked"
    whole = len(hosts_of(found))
    return line(told, quiet(f"{count(shown)} shown" if shown != whole else ""))


def detail(one: HostOf, width: int) -> list[Content]:
    """The host under the cursor."""
    upstream, host = one.upstream, one.host
    said = labelled("engine", f"{upstream.kind}, model {upstream.model} there", width)
    if one.why:
        said += labelled("why", alarm(one.why), width)
    if host is None:
        return said
    said += labelled("host", host.url, width)
    said += labelled("last probe", ago(host.probed_seconds), width)
    people = ", ".join(given.name for given in host.approvals)
    said += labelled("approved", people or "nobody", width)
    if host.record is not None:
        digest = str(host.record.get("digest", "-"))
        said += labelled("record", cell(digest), width)
    return said
