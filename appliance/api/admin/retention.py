"""Routes of the segments of the audit log, and of pruning them.

Rules: an approver approves, an admin prunes; `retention.py` has the conditions.
"""

from typing import Annotated

from fastapi import Path

from appliance.api.admin.audit import entry_of
from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.clock import iso
from appliance.wire.admin import models as wire
from appliance.wire.admin import retention as schemas

router = Routes()
Before = Annotated[int, Path(ge=1, lt=1 << 53)]


@router.serves(schemas.SEGMENTS)
def segments(services: ServicesDep) -> schemas.SegmentList:
    """The files of the log."""
    found = [
        schemas.Segment.told_by(
            one,
            bytes=one.size,
            latest=None if one.latest_us is None else iso(one.latest_us),
            code=one.code or None,
        )
        for one in services.retention.segments()
    ]
    return schemas.SegmentList(
        first=found[0].first, keep_days=services.config.audit.keep_days, segments=found
    )


@router.serves(schemas.PRUNE_SUBJECT)
def subject(services: ServicesDep, before: Before) -> schemas.PruneSubject:
    """Show the subject that approvers of a prune sign."""
    wanted = services.retention.subject(before)
    given = services.retention.approvals(wanted).values()
    return schemas.PruneSubject.told_by(
        wanted,
        approvals=[wire.Approval.told_by(one) for one in given],
        witnessed=services.reader.least_witnessed(),
    )


@router.serves(schemas.PRUNE_APPROVE)
def approve(
    person: PersonDep, services: ServicesDep, before: Before, upload: wire.ApprovalUpload
) -> wire.Approval:
    """Check and keep one approval of a prune."""
    services.check_heard()
    given = services.retention.approve(person.actor, before, upload.envelope.encode())
    return wire.Approval.told_by(given)


@router.serves(schemas.PRUNE)
def prune(person: PersonDep, services: ServicesDep, wanted: schemas.Prune) -> wire.Entry:
    """Take off the beginning of the log; the rest still verifies."""
    receipt = services.retention.prune(
        person.actor,
        wanted.before,
        wanted.reason,
        exported=(wanted.exported_first, wanted.exported_root),
        unsent=wanted.unsent,
    )
    return entry_of(services.reader.entry(receipt.seq))
