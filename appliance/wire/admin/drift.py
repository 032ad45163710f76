"""Schemas of drift."""

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import operators, viewers
from appliance.wire.admin.results import DriftResult


class Restart(Request):
    """Learn a new reference, with the reason."""

    reason: str = Field(min_length=1, max_length=500)


class Drift(Reply):
    """Known weeks of a task.

    Attributes:
        document: state, answer, findings of the last look, and the alarm.
        advice: after an alarm.
        promise, blind: what is found, and what is not.
    """

    document: DriftResult
    advice: list[str]
    promise: str
    blind: list[str]


class DriftReport(Reply):
    """The page of a task's weeks, one self-contained HTML file."""

    html: str


DRIFT = viewers.get("/admin/drift/{task}", Drift)
DRIFT_REPORT = viewers.get("/admin/drift/{task}/report", DriftReport)
DRIFT_RESTART = operators.post("/admin/drift/{task}/restart", Restart, Drift)
