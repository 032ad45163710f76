"""Schemas of what an import would do."""

from pydantic import Field

from appliance.facts import UnreadFacts
from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import admins
from appliance.wire.admin.facts import Facts


class PlanRequest(Request):
    """Examine an artifact where it is; `against` is the model to compare with."""

    path: str = Field(min_length=1, max_length=4_096)
    id: str | None = Field(default=None, max_length=129)
    against: str | None = Field(default=None, max_length=129)


class Difference(Reply):
    """One fact that differs from the compared model."""

    fact: str
    now: str
    then: str


class ImportPlan(Reply):
    """Preview of an artifact's import. Nothing was stored.

    Attributes:
        ok: it would be accepted; else `code`, `message` and `hint` say why not.
        publisher: the policy's name for the signer.
        approvals: different people who must approve before it loads.
        memory_mib: of an engine with it, of `budget_mib` for all.
        against: the stored model that `differences` compare with; null when none is like it.
    """

    path: str
    id: str
    ok: bool
    code: str | None = None
    message: str = ""
    hint: str = ""
    files: int = 0
    bytes: int = 0
    digest: str | None = None
    publisher: str = ""
    approvals: int = 0
    approvers: list[str] = Field(default=[])
    memory_mib: int = 0
    budget_mib: int = 0
    fits: bool = True
    facts: Facts = Field(default=UnreadFacts())
    against: str | None = None
    differences: list[Difference] = Field(default=[])


MODEL_PLAN = admins.post("/admin/models/plan", PlanRequest, ImportPlan, streams=True)
