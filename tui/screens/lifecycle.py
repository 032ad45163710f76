"""What people may do with an artifact of the store, as changes; models and tasks have the same."""

from typing import Any, Final

from appliance.client import AdminClient
from appliance.wire.admin.models import Model
from tui.change import Answers, Change, name_blank, reason_blank
from tui.command import Report
from tui.desk import Desk

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
_REASONED: Final = frozenset({"suspend", "retire", "revoke"})
_LASTING: Final = frozenset({"retire", "revoke"})


def lifecycle(desk: Desk, name: str, verb: str) -> Change:
    """One change of an artifact.

    Args:
        verb: "load", "unload", "suspend", "retire" or "revoke".
    """
    client, meaning = desk.client, _MEANING[verb]

    def work(answers: Answers, report: Report) -> str:
        changed = _call(client, name, verb, answers.get("reason", ""), report)
        return f"{name} is {changed.state}"

    blanks = (
        *((reason_blank(),) if verb in _REASONED else ()),
        *((name_blank(name),) if verb in _LASTING else ()),
    )
    return Change(
        f"{verb.capitalize()} {name}",
        f"POST /admin/models/{name}/{verb}",
        f"model: {name} {_AFTER[verb]}, by you",
        work,
        blanks=blanks,
        explain=(f"{meaning[0].upper()}{meaning[1:]}.",),
        lasting=verb in _LASTING,
    )


def _call(client: AdminClient, name: str, verb: str, reason: str, report: Report) -> Model:
    calls: dict[str, Any] = {
        "load": lambda: client.load(name, report),
        "unload": lambda: client.unload(name),
        "suspend": lambda: client.suspend(name, reason),
        "retire": lambda: client.retire(name, reason),
        "revoke": lambda: client.revoke(name, reason),
    }
    changed: Model = calls[verb]()
    return changed
