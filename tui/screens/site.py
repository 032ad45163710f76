"""The other appliances of a site: who is heard, whose log differs, which documents are refused.

Rule: joining takes the officer's ceremony, so it is a command.
"""

from typing import ClassVar

from textual.content import Content

from appliance.wire.admin import site as wire
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.text import lines
from tui.view import site as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class SitePage(DetailPage[wire.SitePeer]):
    """Peers, by name."""

    TITLE: ClassVar[str] = "Site"
    AT = wire.SITE

    def __init__(self, desk: Desk) -> None:
        rows = Rows("site", view.COLUMNS, lambda one: one.name, view.row, wire.PEER_TABLE.empty)
        self._documents = Part("site-documents", "DOCUMENTS THAT DO NOT HOLD HERE")
        super().__init__(desk, rows, Part("peer", "APPLIANCE"), self._documents)
        self._site = wire.SitePeerList(peers=[])

    def draw(self) -> None:
        super().draw()
        self._documents.say(lines(view.documents(self._site, self.beside)))

    def came(self, answer: wire.SitePeerList) -> None:
        self._site, self.found = answer, answer.peers

    def summed(self) -> Content:
        return view.summary(self._site, self.rows.count)

    def said(self, item: wire.SitePeer, width: int) -> list[Content]:
        return view.detail(item, width)
