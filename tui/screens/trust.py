"""Trust: endings, the policy, and the people who sign.

Rules: nothing is changed here; signatures change a policy, with `appliance trust`.
"""

from typing import Any, ClassVar, NamedTuple

from textual.content import Content

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin.gates import CERTIFICATES
from appliance.wire.admin.keys import KEYS
from appliance.wire.admin.routes import ROUTES
from appliance.wire.admin.trust import TRUST, Trust
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import DetailPage
from tui.text import lines
from tui.view import expiry
from tui.view import trust as view
from tui.view.expiry import Ending
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class TrustFound(NamedTuple):
    """The policy in force, and what ends."""

    policy: Trust
    endings: list[Ending]


class TrustPage(DetailPage[Ending]):
    """Things that end, beside the policy."""

    TITLE: ClassVar[str] = "Trust"

    def __init__(self, desk: Desk) -> None:
        rows = Rows("endings", expiry.COLUMNS, _key, self._cells, "Nothing expires.")
        super().__init__(desk, rows, Part("policy", "POLICY"))
        self._policy: Trust | None = None

    def question(self) -> Question | None:
        return Question("trust", asked)

    def came(self, answer: TrustFound) -> None:
        self._policy, self.found = answer.policy, answer.endings

    def open(self, item: Ending) -> None:
        self.post_message(self.Go(item.place, item.name if item.place != "Trust" else ""))

    def summed(self) -> Content:
        return view.summary(self.found, self.desk.wall())

    def draw(self) -> None:
        super().draw()
        if self._policy is not None:
            self._one.say(lines(view.policy(self._policy, self.beside)))

    def _cells(self, item: Ending) -> Any:
        return expiry.row(item, self.desk.wall())


def asked(client: AdminClient) -> TrustFound:
    """Called in the poller's thread."""
    policy = client.call(TRUST)
    try:
        found = expiry.endings(
            policy,
            client.call(CERTIFICATES).certificates,
            client.call(ROUTES).routes,
            client.call(KEYS).keys,
        )
    except ApplianceError:
        found = expiry.endings(policy, (), (), ())
    return TrustFound(policy, found)


def _key(one: Ending) -> str:
    return f"{one.kind} {one.name} {one.ends}"
