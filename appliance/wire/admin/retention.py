"""Schemas of the segments of the audit log, and of pruning them."""

from pydantic import Field

from appliance.wire.admin.base import Reply as _Reply
from appliance.wire.admin.base import Request as _Request
from appliance.wire.admin.endpoint import admins, approvers, viewers
from appliance.wire.admin.models import Approval, ApprovalUpload, Entry


class Segment(_Reply):
    """A file of the log: its entries, its bytes, and the latest time in it or before it.

    `code` is why the log may not be pruned behind it yet, or null; the growing segment has no
    `latest`.
    """

    first: int
    last: int
    bytes: int
    latest: str | None
    code: str | None


class SegmentList(_Reply):
    """The segments of the log, oldest first; entries before `first` were pruned."""

    first: int
    keep_days: int
    segments: list[Segment]


class PruneSubject(_Reply):
    """Subject that approvers of a prune sign, and the approvals so far; `before` stays.

    `witnessed` is the fewest entries that a witness has seen last, null without a witness.
    """

    origin: str
    before: int
    root: str
    approvals: list[Approval]
    witnessed: int | None


class Prune(_Request):
    """Take off all entries before `before`.

    `exported_root` is the hex root of the tree of these entries, computed from an exported copy
    whose bodies begin with `exported_first`. `unsent` takes off also what a receiver may lack.
    """

    before: int = Field(ge=1, lt=1 << 53)
    reason: str = Field(min_length=1, max_length=1_000)
    exported_first: int = Field(default=0, ge=0, lt=1 << 53)
    exported_root: str = Field(pattern="^[0-9a-f]{64}$")
    unsent: bool = False


SEGMENTS = viewers.get("/admin/audit/segments", SegmentList)
PRUNE_SUBJECT = viewers.get("/admin/audit/prune/{before}", PruneSubject)
PRUNE_APPROVE = approvers.post("/admin/audit/prune/{before}/approvals", ApprovalUpload, Approval)
PRUNE = admins.post("/admin/audit/prune", Prune, Entry)
