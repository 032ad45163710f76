"""The import wizard: choose an artifact on a stick, plan, import, have two people approve, load.

Rules: commands do everything, so all but the loading works with the server stopped; a refused step
leaves the person where they can continue.
"""

from functools import partial
from typing import Any, ClassVar

from pydantic import ValidationError
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from appliance.errors import ApplianceError, Unavailable
from appliance.types import JsonValue, Report, Role
from appliance.wire.admin.models import MODEL_LOAD, ModelDetail
from appliance.wire.admin.plan import ImportPlan
from tui.background import background
from tui.change import Answers, Blank, Change
from tui.desk import Desk
from tui.keys import Act
from tui.link import LinkState
from tui.screens.approving import approval
from tui.screens.listing import ListPage
from tui.text import alarm, cell, lines, quiet
from tui.view import media as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class MediaPage(ListPage[view.Found]):
    """From a stick to a served model."""

    TITLE: ClassVar[str] = "Import"
    FIRST: ClassVar[str] = "directory"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("d", "directory", "Look in a directory", item=False),
        Act("i", "import", "Import", Role.ADMIN, item=False, without_server=True),
        Act("a", "approve", "Approve", Role.APPROVER, item=False, without_server=True),
        Act("l", "load", "Load", Role.OPERATOR, item=False),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No artifacts. Plug in a stick, or press enter to name a directory."
        rows = Rows("artifacts", view.COLUMNS, lambda item: item.path, view.row, empty)
        super().__init__(desk, rows)
        self.add_class("alone")
        self._steps, self._places = Part("steps"), Part("places")
        self._shown = Part("plan", "PLAN")
        self._document: dict[str, JsonValue] = {}
        self._plan: ImportPlan | None = None
        self._model: ModelDetail | None = None
        self._named: list[str] = [str(path) for path in desk.media]
        self._doing = ""
        self._checking = False
        self._error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        yield self._steps
        yield self._places

    def compose_below(self) -> ComposeResult:
        with VerticalScroll(classes="whole-page"):
            yield self._shown

    @property
    def step(self) -> str:
        if self._model is not None:
            may = self._model.actions
            after = {"unload": "done", "load": "load", "approve": "approve"}
            return next((step for action, step in after.items() if action in may), "check")
        return "choose" if self._plan is None else "import" if self._plan.ok else "check"

    def enter(self) -> None:
        super().enter()
        self._look()

    def items(self) -> list[view.Found]:
        return view.found(self._document)

    def words(self, item: view.Found) -> str:
        return f"{item.name} {item.path}"

    def draw(self) -> None:
        super().draw()
        choosing = self._plan is None and self._model is None
        self.rows.display = choosing
        note = ""
        if self._model is not None and self.step == "approve":
            note = f"({len(self._model.approvals)} of {self._needed})"
        width = max(20, self.app.size.width - 4)
        self._steps.say(view.steps(self.step, width, note))
        doing = [cell(f"~ {self._doing}", "$text-warning")] if self._doing else []
        if self._error is not None:
            doing += [alarm(f"{self._error.code}: {self._error.message}"), quiet(self._error.hint)]
        next_ = (
            []
            if self._doing or not choosing
            else [quiet("Enter checks the artifact under the cursor.")]
        )
        self._places.say(
            lines([*(view.places(self._document) if choosing else []), *doing, *next_])
        )
        if self._model is not None:
            live = self.desk.state is LinkState.LIVE
            self._shown.say(lines(view.progress(self._model, self._needed, width, live=live)))
        else:
            self._shown.say(lines(view.plan(self._plan, width) if self._plan else []))

    @property
    def _needed(self) -> int:
        return self._plan.approvals if self._plan else 2

    def refuses(self, act: str, item: object) -> str:
        return "" if act in ("directory", self.step) else f"the next step is to {self.step}"

    def make(self, act: str, item: object) -> Change | None:
        steps = {"import": self._importing, "approve": self._approving, "load": self._loading}
        return self._directory() if act == "directory" else steps[act]()

    def back(self) -> bool:
        if self._plan is None and self._model is None:
            return super().back()
        self._plan = self._model = self._error = None
        self.draw()
        self.enter()
        return True

    # looking

    def _look(self) -> None:
        if self._plan is None and self._model is None:
            named = tuple(self._named)
            commands = self.desk.commands
            self._start("places", lambda: commands.run("model", "places", *named, data=False))

    def _start(self, kind: str, work: Any) -> None:
        self._checking = kind == "plan"
        self._doing = {"places": "looking for sticks", "plan": "checking the artifact"}.get(
            kind, kind
        )
        background(work, partial(self.call_later, self._hear, kind))
        self.draw()

    def _hear(self, kind: str, told: object) -> None:
        """A command's findings."""
        if kind == "plan" or not self._checking:
            self._doing, self._checking = "", False
        self._error = told if isinstance(told, ApplianceError) else None
        if isinstance(told, dict):
            self._document = told
        elif isinstance(told, ImportPlan):
            self._plan = told
            self._focus_text()
        elif isinstance(told, ModelDetail):
            self._model = told
            self._focus_text()
        self.draw()
        self.screen.refresh_bindings()

    def _focus_text(self) -> None:
        if self.app.screen is self.screen:
            self.screen.set_focus(self.query_one(".whole-page"))

    def open(self, item: view.Found) -> None:
        if self._checking:
            return
        commands = self.desk.commands

        def work() -> object:
            document = commands.run("model", "plan", item.path, refused_is_data=True)
            return parsed(ImportPlan, document)

        self._start("plan", work)

    def _directory(self) -> Change:
        def work(answers: Answers, _report: Report) -> str:
            self._named.append(answers["path"])
            return f"looking in {answers['path']}"

        return Change(
            "Look for artifacts in a directory",
            "appliance model places DIR",
            "nothing: looking is not recorded",
            work,
            blanks=(Blank("path", "Directory", needed=True, help="/srv/incoming"),),
            then=lambda _result: self._again(),
        )

    def _again(self) -> None:
        self._plan = self._model = None
        self._look()

    # changes

    def _importing(self) -> Change | None:
        plan = self._plan
        if plan is None:
            return None
        commands = self.desk.commands

        def work(answers: Answers, report: Report) -> str:
            name = answers["id"]
            commands.run(
                "model", "import", plan.path, "--id", name, report=report, refused_is_data=True
            )
            self._show(name)
            return f"{name} is in the store"

        return Change(
            f"Import {plan.id}",
            f"appliance model import {plan.path} --id ID",
            f"model: {plan.id} quarantined, vetted, verified, or refused with the reason",
            work,
            blanks=(Blank("id", "Id in the store", plan.id, needed=True),),
            explain=(f"Digest {plan.digest}",),
        )

    def _show(self, name: str) -> None:
        """In the thread of a change."""
        document = self.desk.commands.run("model", "show", name)
        self.call_later(self._hear, "show", parsed(ModelDetail, document))

    def _approving(self) -> Change | None:
        model = self._model
        if model is None:
            return None
        given = {given.name for given in model.approvals}
        people = self._plan.approvers if self._plan else []
        name = next((person for person in people if person not in given), "")
        change = approval(self.desk, model.id, model.digest or "", name, tuple(people))

        def work(answers: Answers, report: Report) -> object:
            said = change.work(answers, report)
            self._show(model.id)
            return said

        return Change(
            change.title, change.request, change.record, work,
            blanks=change.blanks, explain=change.explain,
        )  # fmt: skip

    def _loading(self) -> Change | None:
        model = self._model
        if model is None:
            return None
        name, client = model.id, self.desk.client

        def work(_answers: Answers, report: Report) -> str:
            loaded = client.call(MODEL_LOAD, model_id=name, report=report)
            self._show(name)
            return f"{name} is {loaded.state}"

        return Change(
            f"Load {name}",
            f"POST /admin/models/{name}/load",
            f"model: {name} staged, then serving, by you",
            work,
            explain=("Its bytes are checked again and held in sealed memory.",),
        )


def parsed(kind: Any, document: Any) -> object:
    """A command's struct, or the refusal."""
    try:
        return kind.model_validate(document)
    except ValidationError:
        table = document if isinstance(document, dict) else {}
        return Unavailable(
            str(table.get("code") or "incompatible_server"), str(table.get("message", ""))
        )
