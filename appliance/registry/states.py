"""The life of an artifact as one table.

Rules: nothing else decides which actions a state allows, or which state follows; clients get the
allowed actions. `staged` and `serving` are facts of the running process: the disk holds `approved`
for both.
"""

from collections.abc import Mapping
from typing import Final

from appliance.errors import StateRefused
from appliance.facts import OTHER_KINDS
from appliance.trust.artifacts.records import ModelState

S = ModelState
TABLE: Final[Mapping[ModelState, Mapping[str, ModelState]]] = {
    S.QUARANTINED: {
        "vet": S.VETTED,
        "refuse": S.REFUSED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.VETTED: {
        "verify": S.VERIFIED,
        "refuse": S.REFUSED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.VERIFIED: {
        "approve": S.APPROVED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.APPROVED: {
        "load": S.STAGED,
        "approve": S.APPROVED,
        "suspend": S.SUSPENDED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.STAGED: {
        "serve": S.SERVING,
        "fail": S.APPROVED,
        "suspend": S.SUSPENDED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.SERVING: {
        "unload": S.APPROVED,
        "approve": S.SERVING,
        "suspend": S.SUSPENDED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.SUSPENDED: {
        "approve": S.APPROVED,
        "retire": S.RETIRED,
        "revoke": S.REVOKED,
    },
    S.REFUSED: {"retire": S.RETIRED, "revoke": S.REVOKED},
    S.RETIRED: {"revoke": S.REVOKED},
    S.REVOKED: {},
}
"""State → event → next state. `approve` leads there once enough different people have approved."""

ACTIONS: Final = ("load", "unload", "approve", "suspend", "retire", "revoke")
"""The events that people cause."""


MISSING: Final = "missing"
"""Shown in place of the state while the files are not on this host."""
_WITHOUT_FILES: Final = ("retire", "revoke")
_IN_MEMORY: Final = ("load", "unload")


def actions(state: str, kind: str = "") -> tuple[str, ...]:
    """The actions that people may take on an artifact in this state.

    Args:
        state: as people see it: of the table, or `MISSING`.
        kind: only a model can be in memory.
    """
    if state == MISSING:
        return _WITHOUT_FILES
    allowed = TABLE[ModelState(state)]
    never = _IN_MEMORY if kind in OTHER_KINDS else ()
    return tuple(action for action in ACTIONS if action in allowed and action not in never)


def following(model_id: str, state: str, event: str) -> ModelState:
    """The state after an event.

    Raises:
        StateRefused: `wrong_state`; `not_approved` when a verified artifact is to be loaded.
    """
    now = ModelState(state)
    if event in TABLE[now]:
        return TABLE[now][event]
    if event == "load":
        code = "not_approved" if now is S.VERIFIED else "wrong_state"
        raise StateRefused(code, f"{model_id} is {now}, not approved.")
    raise StateRefused("wrong_state", f"{model_id} is {now}; it allows {_named(now)}.")


def _named(state: ModelState) -> str:
    return ", ".join(actions(state)) or "nothing"
