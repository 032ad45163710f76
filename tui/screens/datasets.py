"""Datasets of the store: items and groups by split, seals, looks that are left."""

from typing import Any, ClassVar

from textual.content import Content

from appliance.client import AdminClient
from appliance.wire.admin.gates import LEDGERS, Ledger
from appliance.wire.admin.models import Model, ModelDetail
from tui.desk import Desk
from tui.keys import Act
from tui.link import or_else
from tui.screens.lifecycle import LIFE, KindPage
from tui.view import datasets as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class DatasetsPage(KindPage):
    """The datasets of the store."""

    TITLE: ClassVar[str] = "Datasets"
    KIND: ClassVar[str] = "dataset"
    COMMAND: ClassVar[str] = "dataset show"
    ACTS: ClassVar[tuple[Act, ...]] = tuple(
        LIFE[name] for name in ("approve", "suspend", "retire", "revoke")
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No datasets. Import one with `appliance dataset import DIR`."
        rows = Rows("datasets", view.COLUMNS, lambda d: d.id, self._cells, empty)
        super().__init__(desk, rows, Part("dataset", "DATASET"))
        self._ledgers: dict[str, Ledger] = {}

    def more(self, client: AdminClient) -> object:
        found: list[Ledger] = or_else(lambda: client.call(LEDGERS).ledgers, [])
        return {one.dataset: one for one in found}

    def learnt(self, more: Any) -> None:
        self._ledgers = more

    def summed(self) -> Content:
        return view.summary(self.items(), self.rows.count)

    def about(self, known: ModelDetail, width: int) -> list[Content]:
        return view.detail(known, self._ledgers.get(known.id), width)

    def _cells(self, item: Model) -> Any:
        return view.row(item, self.details.get(item.id), self._ledgers.get(item.id))
