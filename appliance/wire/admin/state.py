"""Schemas of the comparison of `appliance.db` with the audit log."""

from typing import Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import admins, viewers


class StateDifference(Reply):
    """A row that its entries do not prove.

    `what` is "unlogged" (no entry permits it), "revived" (it was withdrawn), "edited" (`names` are
    the fields), "lost" (a withdrawal's row) or "absent" (only the log permits it; not held back).
    `entry` is the newest, null without one.
    """

    table: str
    subject: str
    what: Literal["unlogged", "revived", "edited", "lost", "absent"]
    names: list[str] = Field(default=[])
    entry: int | None
    sentence: str


class State(Reply):
    """Agreement of log and database; `ends_early` is why nothing is answered, or empty."""

    agrees: bool
    ends_early: str
    entries: int
    differences: list[StateDifference]


class Settle(Request):
    """The decision of a person; `reason` goes into the log."""

    reason: str = Field(min_length=1, max_length=1_000)


STATE = viewers.get("/admin/state", State)
STATE_SETTLE = admins.post("/admin/state/settle", Settle, State)
