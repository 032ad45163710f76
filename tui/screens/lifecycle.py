"""People's actions on an artifact of the store, as changes; models and tasks have the same."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from appliance.types import Role
from appliance.wire.admin import models as wire
from appliance.wire.admin.endpoint import Endpoint
from tui.change import Answers, Change, asking, name_blank, reason_blank
from tui.desk import Desk
from tui.screens.approving import approval
from tui.screens.listing import ListPage

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


def lifecycle(desk: Desk, name: str, verb: str) -> Change:
    """One change of an artifact.

    Args:
        verb: "load", "unload", "suspend", "retire" or "revoke".
    """
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
        model_id=name,
    )


class ArtifactsPage(ListPage[wire.Model]):
    """A list of artifacts of the store, and what may be done with the one under the cursor."""

    NEEDS: ClassVar[dict[str, Role]] = {
        **{verb: at.role for verb, at in _ENDPOINTS.items()},
        "approve": wire.MODEL_APPROVE.role,
    }

    @property
    def known(self) -> bool:
        """They come with the status."""
        return self.desk.status is not None

    def moved(self) -> None:
        """Ask about another one."""
        self.post_message(self.Asked())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the server says that it allows."""
        allowed = super().check_action(action, parameters)
        if not allowed or action not in ArtifactsPage.NEEDS:
            return allowed
        current = self.rows.current
        return True if current is not None and action in current.actions else None

    def action_load(self) -> None:
        """Verify the stored bytes once more and serve the model."""
        self._change("load")

    def action_unload(self) -> None:
        """End the engine."""
        self._change("unload")

    def action_suspend(self) -> None:
        """Take it out of use until enough people approve it again."""
        self._change("suspend")

    def action_retire(self) -> None:
        """Take it out of use for good."""
        self._change("retire")

    def action_revoke(self) -> None:
        """End it for good because it must not be trusted."""
        self._change("revoke")

    def action_approve(self) -> None:
        """Sign one approval."""
        current = self.rows.current
        if current is not None:
            self.begin(approval(self.desk, current.id, current.digest or ""))

    def _change(self, verb: str) -> None:
        current = self.rows.current
        if current is not None:
            self.begin(lifecycle(self.desk, current.id, verb))


def _reason(answers: Answers) -> wire.Reason:
    return wire.Reason.of(reason=answers.get("reason", ""))
