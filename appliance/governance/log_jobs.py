"""Jobs on the audit log: verify it, export it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from appliance.audit.appending import append
from appliance.audit.export import export
from appliance.audit.log import AuditLog, Draft
from appliance.audit.verification.verify import verify_log
from appliance.jobs.kind import Context, JobKind
from appliance.types import Json, Role
from appliance.wire.admin.jobs import Export
from appliance.wire.admin.models import VerifyRange
from appliance.wire.admin.results import LogExported, LogVerified


class VerificationJob(JobKind[VerifyRange, LogVerified]):
    """Checks the log of a data directory; needs only its files."""

    name: ClassVar[str] = "verify"
    form = VerifyRange
    unit: ClassVar[str] = "entries"
    role: ClassVar[Role] = Role.VIEWER
    read_only: ClassVar[bool] = True

    def __init__(self, log: Path) -> None:
        self._log = log

    def title(self, params: VerifyRange) -> str:
        return f"entries {params.first} to {'the newest' if params.last is None else params.last}"

    async def run(self, job: Context[VerifyRange]) -> LogVerified:
        return await job.in_thread(verified, self._log, job.params, job.report)


class Exporting(JobKind[Export, LogExported]):
    """Writes all entries to a new file or directory.

    Args:
        audit: the log, where a finished export is recorded.
    """

    name: ClassVar[str] = "export"
    form = Export
    unit: ClassVar[str] = "entries"

    def __init__(self, log: Path, audit: AuditLog, enterprise: int) -> None:
        self._log, self._audit, self._enterprise = log, audit, enterprise

    def title(self, params: Export) -> str:
        return f"{params.format} to {params.out}"

    async def run(self, job: Context[Export]) -> LogExported:
        wanted = job.params

        def report(done: int, total: int) -> None:
            job.report("exporting", done, total)

        count = await job.in_thread(
            export, self._log, wanted.format, Path(wanted.out), report, self._enterprise
        )
        fields: dict[str, Json] = {"actor": job.actor, "format": wanted.format, "entries": count}
        await append(self._audit, Draft("export", fields))
        return LogExported(format=wanted.format, out=wanted.out, entries=count)


def verified(
    log: Path, wanted: VerifyRange, report: Callable[[str, int, int], None]
) -> LogVerified:
    """Check a range of a log; the fields of `wire.admin.models.Verification`."""
    found = verify_log(
        log,
        first=wanted.first,
        last=wanted.last,
        progress=lambda done, total: report("verifying", done, total),
        genesis_public=None if wanted.genesis_key is None else wanted.genesis_key.encode(),
    )
    return LogVerified.model_validate({"ok": found.ok, **asdict(found)})
