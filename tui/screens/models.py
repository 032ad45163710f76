"""Models and signatures: state, refusal, and actions."""

from functools import partial
from typing import Any, ClassVar

from textual.content import Content

from appliance.client import AdminClient
from appliance.wire.admin.models import MODEL, MODELS_RECHECK, Model, ModelDetail, ModelList
from tui.change import Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question
from tui.screens.lifecycle import LIFE, ArtifactsPage
from tui.view import models as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class ModelsPage(ArtifactsPage):
    """The store."""

    TITLE: ClassVar[str] = "Models"
    FIRST: ClassVar[str] = "Import"
    ACTS: ClassVar[tuple[Act, ...]] = (
        *LIFE.values(),
        Act("k", "recheck", "Check all again", MODELS_RECHECK.role, item=False),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No models. Press enter to import one."
        rows = Rows("store", view.COLUMNS, lambda model: model.id, self._cells, empty)
        super().__init__(desk, rows, Part("model", "MODEL"))
        self._known: ModelDetail | None = None

    def question(self) -> Question | None:
        model = self.rows.current
        if model is None:
            return Question("models", lambda client: None)
        return Question(f"models {model.id}", partial(_detail, model_id=model.id))

    def came(self, answer: ModelDetail | None) -> None:
        self._known = answer

    def items(self) -> list[Model]:
        found = self.desk.status.models if self.desk.status else []
        return sorted(found, key=view.place)

    def open(self, item: Model) -> None:
        self.post_message(self.Go("Requests", item.id))

    def make(self, act: str, item: Any) -> Change | None:
        if act != "recheck":
            return super().make(act, item)
        return asking(
            self.desk.client,
            MODELS_RECHECK,
            "Check every approved model again",
            "model: an entry for each that is not as it was",
            _rechecked,
        )

    def said(self, item: Model, width: int) -> list[Content]:
        """The one before until this one's details came."""
        known = self._known
        return [] if known is None else view.detail(known, self._engines().get(known.id), width)

    def _engines(self) -> dict[str, Any]:
        status = self.desk.status
        return {worker.model: worker for worker in status.workers} if status else {}

    def _cells(self, model: Model) -> Any:
        return view.row(model, self._engines())


def _detail(client: AdminClient, model_id: str) -> ModelDetail:
    return client.call(MODEL, model_id=model_id)


def _rechecked(found: ModelList) -> str:
    names = ", ".join(model.id for model in found.models)
    return f"something is wrong with {names}" if names else "every approved model is as it was"
