"""The hosts of upstreams: which of them are asked, why not, and probing, draining, reading again.

Rules: learning and approving take a look at the host and a private key, so they are commands.
"""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.types import Role
from appliance.wire.admin import upstreams as wire
from tui.change import asking
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.view import upstreams as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class UpstreamsPage(DetailPage[wire.HostOf]):
    """Hosts, by upstream."""

    TITLE: ClassVar[str] = "Upstreams"
    AT = wire.UPSTREAMS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "probe", "Probe"),
        Binding("D", "drain", "Drain, or undo"),
        Binding("R", "reload", "Read again"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {
        "probe": wire.UPSTREAM_PROBE.role,
        "drain": wire.UPSTREAM_DRAIN.role,
        "reload": wire.UPSTREAMS_RELOAD.role,
    }  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        rows = Rows("upstreams", view.COLUMNS, lambda r: r.key, view.row, wire.UPSTREAM_TABLE.empty)
        super().__init__(desk, rows, Part("upstream", "HOST"))
        self._upstreams: list[wire.Upstream] = []

    def came(self, answer: wire.UpstreamList) -> None:
        """The hosts of the upstreams."""
        self._upstreams, self.found = answer.upstreams, wire.hosts_of(answer.upstreams)

    def words(self, item: wire.HostOf) -> str:
        """Text that the filter searches."""
        state = "broken" if item.host is None else item.host.state
        return f"{item.key} {state} {item.upstream.kind} {item.upstream.model} {item.why}"

    def summed(self) -> Content:
        """Summary line."""
        return view.summary(self._upstreams, self.rows.count)

    def said(self, item: wire.HostOf, width: int) -> list[Content]:
        """The host under the cursor."""
        return view.detail(item, width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A host must be under the cursor; reading again takes none."""
        allowed = super().check_action(action, parameters)
        if allowed and action in ("probe", "drain"):
            one = self.rows.current
            return True if one is not None and one.host is not None else None
        return allowed

    def action_probe(self) -> None:
        """Have the hosts of the upstream compared with what was learnt."""
        one = self.rows.current
        if one is None:
            return
        name = one.upstream.name
        self.begin(
            asking(
                self.desk.client,
                wire.UPSTREAM_PROBE,
                f"Probe the hosts of {name}",
                f"admin: upstream_probe {name}, by you",
                lambda found: f"{name}: " + ", ".join(f"{h.url} {h.state}" for h in found.hosts),
                explain=("One that tripped is taken back when it agrees.",),
                name=name,
            )
        )

    def action_drain(self) -> None:
        """Keep new requests from the host, or let them come again."""
        one = self.rows.current
        if one is None or one.host is None:
            return
        name, url, drained = one.upstream.name, one.host.url, one.host.state != "drained"
        self.begin(
            asking(
                self.desk.client,
                wire.UPSTREAM_DRAIN,
                f"{'Drain' if drained else 'Undo the draining of'} {url} of {name}",
                f"admin: upstream_drain {name}, by you",
                lambda _: f"{url} gets {'no new' if drained else 'new'} requests",
                request=lambda _: wire.UpstreamDrain.of(url=url, drained=drained),
                explain=("Answers under way end as they do.",),
                name=name,
            )
        )

    def action_reload(self) -> None:
        """Read the upstreams of the configuration again."""
        self.begin(
            asking(
                self.desk.client,
                wire.UPSTREAMS_RELOAD,
                "Read the upstreams of appliance.toml again",
                "admin: upstream_reload, by you",
                lambda found: view.counted(found.upstreams),
                explain=("Hosts that are gone end their answers. An error changes nothing.",),
            )
        )
