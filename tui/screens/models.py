"""Models and signatures: what each is, why it is not served, and what may be done with it."""

from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.models import MODEL, MODELS_RECHECK, Model, ModelDetail, ModelList
from tui.change import asking
from tui.desk import Desk
from tui.link import Question
from tui.screens.lifecycle import ArtifactsPage
from tui.text import alarm, lines
from tui.view import models as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class ModelsPage(ArtifactsPage):
    """The store."""

    DIGIT: ClassVar[str] = "2"
    TITLE: ClassVar[str] = "Models"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("L", "load", "Load"),
        Binding("U", "unload", "Unload"),
        Binding("A", "approve", "Approve"),
        Binding("S", "suspend", "Suspend"),
        Binding("T", "retire", "Retire", show=False),
        Binding("X", "revoke", "Revoke", show=False),
        Binding("K", "recheck", "Check all again", show=False),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {
        **ArtifactsPage.NEEDS,
        "recheck": MODELS_RECHECK.role,
    }

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            desk,
            Rows(
                "store",
                view.COLUMNS,
                lambda model: model.id,
                self._cells,
                "No models. Press 0 to import one.",
            ),
        )
        self._detail = Part("model", "MODEL")
        self._known: ModelDetail | ApplianceError | None = None

    def compose_below(self) -> ComposeResult:
        """Compose the details of the model under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._detail

    def question(self) -> Question | None:
        """The details of the model under the cursor."""
        model = self.rows.current
        if model is None:
            return Question("models", lambda client: None)
        return Question(f"models {model.id}", partial(_detail, model_id=model.id))

    def take(self, topic: str, answer: Any) -> None:
        """The details."""
        self._known = answer

    def items(self) -> list[Model]:
        """All artifacts, models first, then by kind."""
        found = self.desk.status.models if self.desk.status else []
        return sorted(found, key=view.place)

    def words(self, model: Model) -> str:
        """Text that the filter searches."""
        return f"{model.id} {model.state} {model.kind} {model.code or ''} {model.digest or ''}"

    def draw(self) -> None:
        """Draw the current state."""
        super().draw()
        width = max(20, self.app.size.width - 4)
        current, known = self.rows.current, self._known
        if current is None:
            self._detail.say(lines([]))
        elif isinstance(known, ModelDetail) and known.id == current.id:
            engine = self._engines().get(current.id)
            self._detail.say(lines(view.detail(known, engine, width)))
        elif isinstance(known, ApplianceError):
            self._detail.say(alarm(f"{known.code}: {known.message}"))

    def _engines(self) -> dict[str, Any]:
        status = self.desk.status
        return {worker.model: worker for worker in status.workers} if status else {}

    def _cells(self, model: Model) -> Any:
        return view.row(model, self._engines())

    def action_recheck(self) -> None:
        """Hash every approved model again and ask the policy again."""
        self.begin(
            asking(
                self.desk.client,
                MODELS_RECHECK,
                "Check every approved model again",
                "model: an entry for each that is not as it was",
                _rechecked,
            )
        )


def _detail(client: AdminClient, model_id: str) -> ModelDetail:
    return client.call(MODEL, model_id=model_id)


def _rechecked(found: ModelList) -> str:
    names = ", ".join(model.id for model in found.models)
    return f"something is wrong with {names}" if names else "every approved model is as it was"
