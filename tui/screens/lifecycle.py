"""People's actions on an artifact of the store, as changes; models and tasks have the same."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.content import Content

from appliance.client import AdminClient
from appliance.wire.admin import models as wire
from appliance.wire.admin.endpoint import Endpoint
from tui.change import Answers, Change, asking, name_blank, reason_blank
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question
from tui.screens.approving import approval
from tui.screens.listing import DetailPage
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_MEANING: Final = {
    "load": "its bytes are checked again and held in sealed memory",
    "unload": "its running answers end with an error",
    "suspend": "all its approvals become void",
    "retire": "its files stay as evidence",
    "revoke": "it must not be trusted",
}
_AFTER: Final = {
    "load": "staged, then serving", "unload": "unload", "suspend": "suspended",
    "retire": "retired", "revoke": "revoked",
}  # fmt: skip
_ENDPOINTS: Final[Mapping[str, Endpoint[Any, wire.Model]]] = {
    "load": wire.MODEL_LOAD, "unload": wire.MODEL_UNLOAD, "suspend": wire.MODEL_SUSPEND,
    "retire": wire.MODEL_RETIRE, "revoke": wire.MODEL_REVOKE,
}  # fmt: skip
_LASTING: Final = frozenset({"retire", "revoke"})
_UNDO: Final = {"load": "unload", "unload": "load"}
LIFE: Final[Mapping[str, Act]] = {
    "load": Act("l", "load", "Load", wire.MODEL_LOAD.role, many=True),
    "unload": Act("u", "unload", "Unload", wire.MODEL_UNLOAD.role, many=True),
    "approve": Act("a", "approve", "Approve", wire.MODEL_APPROVE.role),
    "suspend": Act("s", "suspend", "Suspend", wire.MODEL_SUSPEND.role, many=True),
    "retire": Act("t", "retire", "Retire", wire.MODEL_RETIRE.role),
    "revoke": Act("x", "revoke", "Revoke", wire.MODEL_REVOKE.role),
}
"""What people do with an artifact, by its name."""


def lifecycle(desk: Desk, name: str, verb: str) -> Change:
    """One change of an artifact: "load", "unload", "suspend", "retire" or "revoke"."""
    meaning, reasoned = _MEANING[verb], _ENDPOINTS[verb].request is wire.Reason
    blanks = (
        *((reason_blank(),) if reasoned else ()),
        *((name_blank(name),) if verb in _LASTING else ()),
    )
    return asking(
        desk.client,
        _ENDPOINTS[verb],
        f"{verb.capitalize()} {name}",
        f"model: {name} {_AFTER[verb]}, by you",
        lambda changed: f"{name} is {changed.state}",
        request=_reason if reasoned else None,
        blanks=blanks,
        explain=(f"{meaning[0].upper()}{meaning[1:]}.",),
        lasting=verb in _LASTING,
        undo=(lambda: lifecycle(desk, name, _UNDO[verb])) if verb in _UNDO else None,
        model_id=name,
    )


class ArtifactsPage(DetailPage[wire.Model]):
    """A list of artifacts of the store, with actions for the one under the cursor."""

    COMMAND: ClassVar[str] = "model show"

    @property
    def known(self) -> bool:
        """They come with the status."""
        return self.desk.status is not None

    def moved(self) -> None:
        self.post_message(self.Asked())

    def refuses(self, act: str, item: Any) -> str:
        if act not in LIFE or act in item.actions:
            return ""
        return f"{item.id} is {item.state}"

    def make(self, act: str, item: Any) -> Change | None:
        if act == "approve":
            return approval(self.desk, item.id, item.digest or "")
        return lifecycle(self.desk, item.id, act)


class KindPage(ArtifactsPage):
    """The artifacts of one kind. Details are asked for once a state, with each poll under the
    cursor.
    """

    KIND: ClassVar[str] = ""

    def __init__(self, desk: Desk, rows: Rows[wire.Model], one: Part) -> None:
        super().__init__(desk, rows, one)
        self.details: dict[str, wire.ModelDetail] = {}

    def question(self) -> Question | None:
        current = self.rows.current
        name = None if current is None else current.id
        return Question(f"{self.KIND} {name}", lambda client: self._ask(client, name))

    def _ask(
        self, client: AdminClient, current: str | None
    ) -> tuple[dict[str, wire.ModelDetail], object]:
        known = dict(self.details)
        wanted = [
            one.id for one in self.items() if one.id == current or not _same(one, known.get(one.id))
        ]
        details = {name: client.call(wire.MODEL, model_id=name) for name in wanted}
        return details, self.more(client)

    def more(self, client: AdminClient) -> object:
        pass

    def came(self, answer: tuple[dict[str, wire.ModelDetail], Any]) -> None:
        details, more = answer
        self.details = {**self.details, **details}
        self.learnt(more)

    def learnt(self, more: Any) -> None:
        pass

    def items(self) -> list[wire.Model]:
        found = self.desk.status.models if self.desk.status else []
        return [model for model in found if model.kind == self.KIND]

    def said(self, item: wire.Model, width: int) -> list[Content]:
        known = self.details.get(item.id)
        return [] if known is None else self.about(known, width)

    def about(self, known: wire.ModelDetail, width: int) -> list[Content]:
        raise NotImplementedError


def _same(one: wire.Model, known: wire.ModelDetail | None) -> bool:
    return known is not None and (known.state, known.digest) == (one.state, one.digest)


def _reason(answers: Answers) -> wire.Reason:
    return wire.Reason.of(reason=answers.get("reason", ""))
