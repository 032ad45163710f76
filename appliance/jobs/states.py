"""The life of a job as one table.

Rules: nothing else decides which state follows; a change outside the table is refused; the actions
of people are read from it and sent to them, so no client repeats it.
"""

import enum
from collections.abc import Mapping
from typing import Final

from appliance.errors import StateRefused


class JobState(enum.StrEnum):
    """The state of a job.

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


TABLE: Final[Mapping[JobState, Mapping[str, JobState]]] = {
    JobState.QUEUED: {
        "start": JobState.RUNNING,
        "pause": JobState.PAUSED,
        "cancel": JobState.CANCELLED,
        "fail": JobState.FAILED,
        "requeue": JobState.QUEUED,
        "shelve": JobState.PAUSED,
        "drop": JobState.CANCELLED,
        "lose": JobState.INTERRUPTED,
    },
    JobState.RUNNING: {
        "pause": JobState.PAUSING,
        "cancel": JobState.CANCELLING,
        "finish": JobState.DONE,
        "fail": JobState.FAILED,
        "requeue": JobState.QUEUED,
        "shelve": JobState.PAUSED,
        "lose": JobState.INTERRUPTED,
        "drop": JobState.CANCELLED,
    },
    JobState.PAUSING: {
        "resume": JobState.RUNNING,
        "cancel": JobState.CANCELLING,
        "stop": JobState.PAUSED,
        "finish": JobState.DONE,
        "fail": JobState.FAILED,
        "requeue": JobState.PAUSED,
        "shelve": JobState.PAUSED,
        "lose": JobState.PAUSED,
        "drop": JobState.CANCELLED,
    },
    JobState.CANCELLING: {
        "stop": JobState.CANCELLED,
        "finish": JobState.DONE,
        "fail": JobState.FAILED,
        "requeue": JobState.CANCELLED,
        "shelve": JobState.CANCELLED,
        "lose": JobState.CANCELLED,
        "drop": JobState.CANCELLED,
    },
    JobState.PAUSED: {"resume": JobState.QUEUED, "cancel": JobState.CANCELLED},
    JobState.FAILED: {"resume": JobState.QUEUED},
    JobState.DONE: {},
    JobState.CANCELLED: {},
    JobState.INTERRUPTED: {},
}
"""State → event → next state.

People cause `pause`, `resume` and `cancel`. The runner causes the others: `start`; `finish` and
`fail` at the end of the work; `stop` at the safe point after a pause or cancel. `requeue`, `shelve`
and `lose` follow the end of the server: the next start resumes the job, a person may resume it, or
its work is lost. `shelve` and `drop` also follow a caller who goes away.
"""

ACTIONS: Final = ("pause", "resume", "cancel")
"""Changes that people may ask for."""
LIVE: Final = frozenset({JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})
"""States in which the work is under way."""
ENDED: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED})
"""States in which nothing happens by itself any more."""
_NEED_CHECKPOINT: Final = frozenset({"pause", "resume"})


def following(state: JobState, event: str) -> JobState:
    """The state after an event."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise StateRefused("job_wrong_state", f"The job is {state}: no {event} now.") from None


def actions(state: JobState, *, resumable: bool) -> tuple[str, ...]:
    """The actions that people may take on a job now."""
    allowed = TABLE[state]
    return tuple(
        action
        for action in ACTIONS
        if action in allowed and (resumable or action not in _NEED_CHECKPOINT)
    )
