"""Usage over time, derived from the audit log."""

from typing import Final

from pydantic import Field

from appliance.types import UsedBy, UsedPer
from appliance.wire.admin.base import Reply
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import viewers


class UsageRow(Reply):
    """Use of one app, person, cost centre, task or model within a period.

    Attributes:
        name: "" for none, such as the task of a request to a model.
        requests: of apps; a route that asks two models for one is one request and two answers.
        failed: answers that are errors or have no known end.
        seconds: time of the answers without their wait for a turn.
    """

    period: str
    name: str
    requests: int
    answers: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class UsageReport(Reply):
    """Sums by period and name, the oldest first.

    Nothing is missing from `known` on; what came before was pruned uncounted. The newest `left`
    entries of the log are not counted yet: ask again.
    """

    by: UsedBy
    per: UsedPer
    known: str
    left: int = 0
    rows: list[UsageRow] = Field(default=[])


USAGE = viewers.get("/admin/usage{?by,per,since,until}", UsageReport, slow=True)
USAGE_TABLE: Final[ListTable[UsageRow]] = ListTable(
    "No requests in this time. Make a key with `appliance key new NAME`.",
    (
        ListColumn("PERIOD", lambda one: one.period),
        ListColumn("NAME", lambda one: one.name or None),
        ListColumn("REQUESTS", lambda one: one.requests, ColumnKind.COUNT),
        ListColumn("ANSWERS", lambda one: one.answers, ColumnKind.COUNT),
        ListColumn("FAILED", lambda one: one.failed, ColumnKind.COUNT),
        ListColumn("READ", lambda one: one.prompt_tokens, ColumnKind.COUNT),
        ListColumn("WRITTEN", lambda one: one.completion_tokens, ColumnKind.COUNT),
        ListColumn("SECONDS", lambda one: f"{one.seconds:.1f}", ColumnKind.COUNT),
    ),
)
