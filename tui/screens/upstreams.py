"""The hosts of upstreams: which of them are asked, why not, and probing, draining, reading again.

Rules: learning and approving take a look at the host and a private key, so they are commands.
"""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.upstreams import Upstream, UpstreamList
from tui.change import Answers, Change
from tui.command import Report
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import upstreams as view
from tui.view.units import many
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class UpstreamsPage(ListPage[view.Row]):
    """Hosts, by upstream."""

    TITLE: ClassVar[str] = "Upstreams"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "probe", "Probe"),
        Binding("D", "drain", "Drain, or undo"),
        Binding("R", "reload", "Read again"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {
        "probe": Role.OPERATOR, "drain": Role.OPERATOR, "reload": Role.OPERATOR,
    }  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        empty = "No upstreams. Add one in [upstreams] of appliance.toml."
        super().__init__(desk, Rows("upstreams", view.COLUMNS, lambda r: r.key, view.row, empty))
        self._summary, self._one = Part("upstreams-summary"), Part("upstream", "HOST")
        self._upstreams: list[Upstream] = []
        self._error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        """How many."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The host under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._one

    def question(self) -> Question | None:
        """All of them."""
        return Question("upstreams", lambda client: client.upstreams())

    def take(self, topic: str, answer: Any) -> None:
        """The upstreams."""
        self._error = answer if isinstance(answer, ApplianceError) else None
        if isinstance(answer, UpstreamList):
            self._upstreams = answer.upstreams

    def items(self) -> list[view.Row]:
        """The hosts of the last poll."""
        return view.rows(self._upstreams)

    def words(self, item: view.Row) -> str:
        """What the filter looks at."""
        state = "broken" if item.host is None else item.host.state
        return f"{item.key} {state} {item.upstream.kind} {item.upstream.model} {item.why}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        if self._error is not None:
            self._summary.say(alarm(f"{self._error.code}: {self._error.message}"))
        elif self.known:
            self._summary.say(view.summary(self._upstreams, self.rows.count))
        one = self.rows.current
        width = max(20, self.app.size.width - 4)
        self._one.say(lines(view.detail(one, width) if one is not None else []))

    def moved(self) -> None:
        """Show another one."""
        self.draw()

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
        name, client = one.upstream.name, self.desk.client

        def work(_answers: Answers, _report: Report) -> str:
            found = client.probe_upstream(name)
            return f"{name}: " + ", ".join(f"{host.url} {host.state}" for host in found.hosts)

        self.begin(
            Change(
                f"Probe the hosts of {name}",
                f"POST /admin/upstreams/{name}/probe",
                f"admin: upstream_probe {name}, by you",
                work,
                explain=("One that tripped is taken back when it agrees.",),
            )
        )

    def action_drain(self) -> None:
        """Keep new requests from the host, or let them come again."""
        one = self.rows.current
        if one is None or one.host is None:
            return
        name, url, client = one.upstream.name, one.host.url, self.desk.client
        drained = one.host.state != "drained"

        def work(_answers: Answers, _report: Report) -> str:
            client.drain_upstream(name, url, drained=drained)
            return f"{url} gets {'no new' if drained else 'new'} requests"

        self.begin(
            Change(
                f"{'Drain' if drained else 'Undo the draining of'} {url} of {name}",
                f"POST /admin/upstreams/{name}/drain",
                f"admin: upstream_drain {name}, by you",
                work,
                explain=("Answers under way end as they do.",),
            )
        )

    def action_reload(self) -> None:
        """Read the upstreams of the configuration again."""
        client = self.desk.client

        def work(_answers: Answers, _report: Report) -> str:
            found = client.reload_upstreams().upstreams
            hosts = sum(len(one.hosts) for one in found)
            return f"{many(len(found), 'upstream')}, {many(hosts, 'host')}"

        self.begin(
            Change(
                "Read the upstreams of appliance.toml again",
                "POST /admin/upstreams/reload",
                "admin: upstream_reload, by you",
                work,
                explain=("Hosts that are gone end their answers. An error changes nothing.",),
            )
        )
