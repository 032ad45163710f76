"""Jobs on the audit log: verify it, export it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from appliance.audit.appending import append
from appliance.audit.export import export
from appliance.audit.log import AuditLog, Draft
from appliance.audit.verification.verify import verify_log
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.types import Json, Role
from appliance.wire.admin.jobs import Export
from appliance.wire.admin.models import VerifyRange


class Verification(Kind):
    """Checks the log of a data directory; needs only its files.

    Args:
        log: the log's directory.
    """

    name: ClassVar[str] = "verify"
    unit: ClassVar[str] = "entries"
    role: ClassVar[Role] = Role.VIEWER
    read_only: ClassVar[bool] = True

    def __init__(self, log: Path) -> None:
        self._log = log

    def check(self, params: JsonObject) -> None:
        """A range. Raises BadRequest."""
        VerifyRange.of(**params)

    def title(self, params: JsonObject) -> str:
        """The range."""
        wanted = VerifyRange.of(**params)
        return f"entries {wanted.first} to {'the newest' if wanted.last is None else wanted.last}"

    async def run(self, job: Context) -> JsonObject:
        """The fields of `wire.admin.models.Verification`."""
        wanted = VerifyRange.of(**job.params)
        return await job.in_thread(verified, self._log, wanted, job.report)


class Exporting(Kind):
    """Writes all entries to a new file or directory.

    Args:
        log: the log's directory.
        audit: the log, where a finished export is recorded.
    """

    name: ClassVar[str] = "export"
    unit: ClassVar[str] = "entries"

    def __init__(self, log: Path, audit: AuditLog) -> None:
        self._log, self._audit = log, audit

    def check(self, params: JsonObject) -> None:
        """A form and a place. Raises BadRequest."""
        Export.of(**params)

    def title(self, params: JsonObject) -> str:
        """The form and the place."""
        wanted = Export.of(**params)
        return f"{wanted.format} to {wanted.out}"

    async def run(self, job: Context) -> JsonObject:
        """How many entries left."""
        wanted = Export.of(**job.params)

        def report(done: int, total: int) -> None:
            job.report("exporting", done, total)

        count = await job.in_thread(export, self._log, wanted.format, Path(wanted.out), report)
        fields: dict[str, Json] = {"actor": job.actor, "format": wanted.format, "entries": count}
        await append(self._audit, Draft("export", fields))
        return {**wanted.model_dump(), "entries": count}


def verified(log: Path, wanted: VerifyRange, report: Callable[[str, int, int], None]) -> JsonObject:
    """Check a range of a log; the fields of `wire.admin.models.Verification`."""
    found = verify_log(
        log,
        first=wanted.first,
        last=wanted.last,
        progress=lambda done, total: report("verifying", done, total),
        genesis_public=None if wanted.genesis_key is None else wanted.genesis_key.encode(),
    )
    return {"ok": found.ok, **asdict(found)}
