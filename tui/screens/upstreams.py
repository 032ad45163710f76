"""The hosts of upstreams: state, reason, and probing, draining, reading again.

Rules: learning and approving take a look at the host and a private key, so they are commands.
"""

from typing import ClassVar

from textual.content import Content

from appliance.wire.admin import upstreams as wire
from tui.change import Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import upstreams as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class UpstreamsPage(DetailPage[wire.HostOf]):
    """Hosts, by upstream."""

    TITLE: ClassVar[str] = "Upstreams"
    AT = wire.UPSTREAMS
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("p", "probe", "Probe", wire.UPSTREAM_PROBE.role, many=True),
        Act("d", "drain", "Drain, or undo", wire.UPSTREAM_DRAIN.role, many=True),
        Act("r", "reload", "Read again", wire.UPSTREAMS_RELOAD.role, item=False),
    )

    def __init__(self, desk: Desk) -> None:
        rows = Rows("upstreams", view.COLUMNS, lambda r: r.key, view.row, wire.UPSTREAM_TABLE.empty)
        super().__init__(desk, rows, Part("upstream", "HOST"))
        self._upstreams: list[wire.Upstream] = []

    def came(self, answer: wire.UpstreamList) -> None:
        self._upstreams, self.found = answer.upstreams, wire.hosts_of(answer.upstreams)

    def summed(self) -> Content:
        return view.summary(self._upstreams, self.rows.count)

    def said(self, item: wire.HostOf, width: int) -> list[Content]:
        return view.detail(item, width)

    def refuses(self, act: str, item: wire.HostOf | None) -> str:
        return f"{item.upstream.name} has no host" if item is not None and item.host is None else ""

    def make(self, act: str, item: wire.HostOf | None) -> Change | None:
        if item is None:
            return asking(
                self.desk.client,
                wire.UPSTREAMS_RELOAD,
                "Read the upstreams of appliance.toml again",
                "admin: upstream_reload, by you",
                lambda found: view.counted(found.upstreams),
                explain=("Hosts that are gone end their answers. An error changes nothing.",),
            )
        if act == "probe" or item.host is None:
            return self._probed(item)
        return self._drained(item, item.host.url, drained=item.host.state != "drained")

    def _probed(self, one: wire.HostOf) -> Change:
        name = one.upstream.name
        return asking(
            self.desk.client,
            wire.UPSTREAM_PROBE,
            f"Probe the hosts of {name}",
            f"admin: upstream_probe {name}, by you",
            lambda found: f"{name}: " + ", ".join(f"{h.url} {h.state}" for h in found.hosts),
            explain=("One that tripped is taken back when it agrees.",),
            name=name,
        )

    def _drained(self, one: wire.HostOf, url: str, *, drained: bool) -> Change:
        name = one.upstream.name
        return asking(
            self.desk.client,
            wire.UPSTREAM_DRAIN,
            f"{'Drain' if drained else 'Undo the draining of'} {url} of {name}",
            f"admin: upstream_drain {name}, by you",
            lambda _: f"{url} gets {'no new' if drained else 'new'} requests",
            request=lambda _: wire.UpstreamDrain.of(url=url, drained=drained),
            explain=("Answers under way end as they do.",),
            undo=lambda: self._drained(one, url, drained=not drained),
            name=name,
        )
