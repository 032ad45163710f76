"""The life of a job as one table.

Rules: nothing else decides which state follows; a change that the table does not hold is refused;
what people may do now is read from the table and sent to them, so no client repeats it.
"""

import enum
from collections.abc import Mapping
from typing import Final

from appliance.errors import StateRefused


class State(enum.StrEnum):
    """Where a job stands.

    A job that is `pausing` or `cancelling` runs until its next safe point.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


TABLE: Final[Mapping[State, Mapping[str, State]]] = {
    State.QUEUED: {
        "start": State.RUNNING,
        "pause": State.PAUSED,
        "cancel": State.CANCELLED,
        "fail": State.FAILED,
        "requeue": State.QUEUED,
        "shelve": State.PAUSED,
        "drop": State.CANCELLED,
        "lose": State.INTERRUPTED,
    },
    State.RUNNING: {
        "pause": State.PAUSING,
        "cancel": State.CANCELLING,
        "finish": State.DONE,
        "fail": State.FAILED,
        "requeue": State.QUEUED,
        "shelve": State.PAUSED,
        "lose": State.INTERRUPTED,
        "drop": State.CANCELLED,
    },
    State.PAUSING: {
        "resume": State.RUNNING,
        "cancel": State.CANCELLING,
        "stop": State.PAUSED,
        "finish": State.DONE,
        "fail": State.FAILED,
        "requeue": State.PAUSED,
        "shelve": State.PAUSED,
        "lose": State.PAUSED,
        "drop": State.CANCELLED,
    },
    State.CANCELLING: {
        "stop": State.CANCELLED,
        "finish": State.DONE,
        "fail": State.FAILED,
        "requeue": State.CANCELLED,
        "shelve": State.CANCELLED,
        "lose": State.CANCELLED,
        "drop": State.CANCELLED,
    },
    State.PAUSED: {"resume": State.QUEUED, "cancel": State.CANCELLED},
    State.FAILED: {"resume": State.QUEUED},
    State.DONE: {},
    State.CANCELLED: {},
    State.INTERRUPTED: {},
}
"""State → event → next state.

People cause `pause`, `resume` and `cancel`. The runner causes the others: `start`; `finish` and
`fail` at the end of the work; `stop` at the safe point after a pause or cancel. `requeue`, `shelve`
and `lose` follow the end of the server: the next start resumes the job, a person may resume it, or
its work is lost. `shelve` and `drop` also follow a caller who goes away.
"""

ACTIONS: Final = ("pause", "resume", "cancel")
"""What people may ask for."""
LIVE: Final = frozenset({State.RUNNING, State.PAUSING, State.CANCELLING})
"""States in which the work is under way."""
ENDED: Final = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.INTERRUPTED})
"""States in which nothing happens by itself any more."""
_NEED_CHECKPOINT: Final = frozenset({"pause", "resume"})


def following(state: State, event: str) -> State:
    """The state after an event.

    Raises:
        StateRefused: `job_wrong_state` when the table does not hold it.
    """
    try:
        return TABLE[state][event]
    except KeyError:
        raise StateRefused("job_wrong_state", f"The job is {state}: no {event} now.") from None


def actions(state: State, *, resumable: bool) -> tuple[str, ...]:
    """What people may do with a job now.

    Args:
        resumable: whether its kind can continue where it stopped.
    """
    allowed = TABLE[state]
    return tuple(
        action
        for action in ACTIONS
        if action in allowed and (resumable or action not in _NEED_CHECKPOINT)
    )
