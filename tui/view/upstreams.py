"""What the screen of upstreams says: hosts with their state, why, what runs there, the last probe.

Rules: pure; one row for each host; an upstream that cannot be used has one row that says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from appliance.wire.admin.upstreams import Upstream, UpstreamHost
from tui.columns import Column
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import age, count, many

COLUMNS: Final = (
    Column("UPSTREAM", 14),
    Column("HOST", 26, drop=3),
    Column("STATE", 13),
    Column("RUNNING", 7, right=True, drop=1),
    Column("LAST PROBE", 10, right=True, drop=2),
    Column("WHY", 0, least=12),
)
_ROOM: Final = 12
_USABLE: Final = ("ready", "busy", "suspect")


@dataclass(frozen=True)
class Row:
    """A host of an upstream; None where the upstream cannot be used as it is configured."""

    upstream: Upstream
    host: UpstreamHost | None

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.upstream.name} {self.host.url if self.host is not None else ''}"

    @property
    def why(self) -> str:
        """Why it is in its state."""
        if self.host is None:
            return self.upstream.broken
        return self.host.tripped or self.host.suspect or self.host.problem


def rows(found: Sequence[Upstream]) -> list[Row]:
    """One for each host."""
    return [Row(one, host) for one in found for host in one.hosts or (None,)]


def row(one: Row) -> Sequence[Cell]:
    """One host."""
    host = one.host
    if host is None:
        return one.upstream.name, "-", state("broken"), "-", "-", one.why
    running = count(host.outstanding)
    return one.upstream.name, host.url, state(host.state), running, _probed(host), one.why or "-"


def summary(found: Sequence[Upstream], shown: int) -> Content:
    """How many hosts there are, and how many of them are asked."""
    hosts = [host for one in found for host in one.hosts]
    asked = sum(host.state in _USABLE for host in hosts)
    told = f"{many(len(found), 'upstream')}, {many(len(hosts), 'host')}, {count(asked)} asked"
    whole = len(rows(found))
    return line(told, quiet(f"{count(shown)} shown" if shown != whole else ""))


def detail(one: Row, width: int) -> list[Content]:
    """The host under the cursor."""
    upstream, host = one.upstream, one.host
    said = labelled("engine", f"{upstream.kind}, model {upstream.model} there", width, _ROOM)
    if one.why:
        said += labelled("why", alarm(one.why), width, _ROOM)
    if host is None:
        return said
    said += labelled("host", host.url, width, _ROOM)
    said += labelled("last probe", _probed(host), width, _ROOM)
    people = ", ".join(given.name for given in host.approvals)
    said += labelled("approved by", people or "nobody", width, _ROOM)
    if host.record is not None:
        digest = str(host.record.get("digest", "-"))
        said += labelled("record", cell(digest), width, _ROOM)
    return said


def _probed(host: UpstreamHost) -> str:
    return "never" if host.probed_seconds is None else f"{age(host.probed_seconds)} ago"
