"""Usage by app, over hours, days or months, as the log has it.

Rules: sums come from the server, which derives them from the log; `[` and `]` change the period.
"""

from typing import ClassVar, Final

from textual.content import Content

from appliance.client import AdminClient
from appliance.types import UsedBy, UsedPer
from appliance.wire.admin.metering import USAGE, UsageReport, UsageRow
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question, Seldom
from tui.screens.listing import DetailPage
from tui.view import usage as view
from tui.view.units import iso
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_SPANS: Final[dict[UsedPer, int]] = {
    "hour": 86_400, "day": 31 * 86_400, "month": 366 * 86_400,
}  # fmt: skip
_ORDER: Final = tuple(_SPANS)
_BY: Final[tuple[UsedBy, ...]] = ("app", "person", "task", "model")
_SECONDS: Final = 10.0


class UsagePage(DetailPage[UsageRow]):
    """Sums, the newest first."""

    TITLE: ClassVar[str] = "Usage"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("a", "app", "By app", item=False),
        Act("p", "person", "By person", item=False),
        Act("t", "task", "By task", item=False),
        Act("m", "model", "By model", item=False),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No requests in this time. Make a key with `appliance key new NAME`."
        rows = Rows("sums", view.COLUMNS, view.name_of, view.row, empty)
        super().__init__(desk, rows, Part("use", "OVER TIME"))
        self._by: UsedBy = "app"
        self._per: UsedPer = "hour"
        self._left = 0
        self._seldom: Seldom[UsageReport] = Seldom(_SECONDS, desk.clock)

    def question(self) -> Question | None:
        by, per = self._by, self._per

        def ask(client: AdminClient) -> UsageReport:
            since = iso(self.desk.wall() - _SPANS[per])
            return self._seldom.get(
                (by, per), lambda: client.call(USAGE, by=by, per=per, since=since)
            )

        return Question(f"usage {by} {per}", ask)

    def came(self, answer: UsageReport) -> None:
        self.found = list(reversed(answer.rows))
        self._left = answer.left

    def action_span(self, step: int) -> None:
        at = max(0, min(len(_ORDER) - 1, _ORDER.index(self._per) + step))
        self._per = _ORDER[at]
        self.post_message(self.Asked())

    def make(self, act: str, item: object) -> None:
        self._by = next(one for one in _BY if one == act)
        self.post_message(self.Asked())

    def open(self, item: UsageRow) -> None:
        if item.name and self._by in ("app", "model"):
            self.post_message(self.Go("Audit", f"{self._by}={item.name}"))

    def summed(self) -> Content:
        return view.summary(self.found, str(self._by), str(self._per), self._left)

    def said(self, item: UsageRow, width: int) -> list[Content]:
        return view.over_time(self.found, item.name, width, ascii_only=self.desk.basic)
