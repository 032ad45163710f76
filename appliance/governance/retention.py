"""The use-case of retention: which segments of the audit log may go, and their removal.

Rules:
- Nothing goes by itself, before it is `audit.keep_days` old (at least six months), before its
  export (the root of a copy, computed from its bodies, shows it), or before each witness saw it.
- An entry that a receiver of the log may lack goes only if the person says so, which is recorded.
- Two people or more, approvers, sign the log, the first entry that stays and the root of what goes;
  their statements are verified again when the prune is carried out.
- A refusal is recorded and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from appliance.audit.log import AuditLog, Draft
from appliance.audit.pruning import APPROVAL, KIND, PEOPLE
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.clock import Clock, iso
from appliance.errors import Refused, StateRefused
from appliance.text import many
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval
from appliance.trust.statements.approval import PrunedEntries, ValidApproval
from appliance.types import Json, Receipt

_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class RetentionSegment:
    """A file of the log and whether it may go.

    Attributes:
        first, last: its entries.
        latest_us: the latest wall time in it or before it; None for the newest segment.
        code: why it may not go yet, or empty.
    """

    first: int
    last: int
    size: int
    latest_us: int | None
    code: str


@dataclass(eq=False)
class Retention:
    """Prunes the audit log.

    Attributes:
        keep_days: least age of a removed entry.
        lacking: receivers that may not have all entries before a number.
        count: counts the usage of all entries so far.
    """

    audit: AuditLog
    reader: LogReader
    clock: Clock
    keep_days: int
    policy: Callable[[], TrustPolicy]
    fresh: Callable[[], Freshness]
    lacking: Callable[[int], list[str]]
    count: Callable[[], object]

    def segments(self) -> list[RetentionSegment]:
        """All segments, oldest first."""
        seen = self.reader.least_witnessed()
        return [
            RetentionSegment(
                f.first, f.end - 1, f.size, f.latest_us, self._code(f.end, f.latest_us, seen)
            )
            for f in self.reader.segments()
        ]

    def subject(self, before: int) -> PrunedEntries:
        """The subject that approvers of a prune sign; `before` is the first entry that stays
        (`prune_boundary`, `prune_too_young`, `prune_unwitnessed`).
        """
        ends = {segment.last + 1: segment for segment in self.segments()}
        segment = ends.get(before)
        if segment is None or segment.latest_us is None:
            raise StateRefused("prune_boundary", f"No closed segment ends before entry {before}.")
        if segment.code == "prune_too_young":
            latest = iso(segment.latest_us)
            message = (
                f"The latest entry is of {latest}; entries are kept for "
                f"{many(self.keep_days, 'day')}."
            )
            raise StateRefused(segment.code, message)
        if segment.code:
            message = f"A witness has seen fewer than {many(before, 'entry')}."
            raise StateRefused(segment.code, message)
        return PrunedEntries(self.reader.origin, before, self.reader.root_before(before))

    def approvals(self, subject: PrunedEntries) -> dict[int, ValidApproval]:
        """Approvals that hold under today's policy, by the entry that has them."""
        policy, found = self.policy(), {}
        after: int | None = -1
        while after is not None:
            page = self.reader.search(Query(kind=APPROVAL, after=after, limit=1_000))
            for entry in page.entries:
                envelope = cast(str, entry.body["envelope"]).encode()
                try:
                    found[entry.seq] = approval.verify(envelope, policy, subject)
                except Refused:
                    continue  # of another prune, or of somebody who may no longer approve
            after = page.resume
        return found

    def approve(self, actor: str, before: int, envelope: bytes) -> ValidApproval:
        """Take one approval."""
        try:
            self.fresh().check_change()
            subject = self.subject(before)
            given = approval.verify(envelope, self.policy(), subject)
        except Refused as error:
            self._refused(actor, before, "prune_approval_refused", error)
            raise
        fields: dict[str, Json] = {
            "actor": actor,
            "before": before,
            "root": subject.root,
            "name": given.name,
            "meaning": given.meaning,
            "signed_at": given.time,
            "envelope": envelope.decode(),
        }
        self.audit.append(Draft(APPROVAL, fields)).result()
        return given

    def prune(
        self,
        actor: str,
        before: int,
        reason: str,
        *,
        exported: tuple[int, str],
        unsent: bool = False,
    ) -> Receipt:
        """Remove everything before an entry; the receipt of the prune entry.

        Args:
            unsent: also entries that a receiver of the log may lack.
            exported: of a copy: its first body, and the hex root of the tree of all entries before
                `before`, computed from its bodies.

        Raises:
            StateRefused: `prune_not_exported`, `prune_unsent`.
            PolicyRefused: `not_approved`.
        """
        try:
            self.fresh().check_change()
            subject = self.subject(before)
            if exported[1] != subject.root or exported[0] > self.reader.segments()[0].first:
                message = f"The copy from entry {exported[0]} on has the root {exported[1]}."
                raise StateRefused("prune_not_exported", message)
            lacking = self.lacking(before)
            if lacking and not unsent:
                message = f"Receivers may lack some of them: {', '.join(lacking)}."
                raise StateRefused("prune_unsent", message)
            given = self.approvals(subject)
            self.policy().check_approvals([one.name for one in given.values()], PEOPLE)
        except Refused as error:
            self._refused(actor, before, "prune_refused", error)
            raise
        self.count()
        fields: dict[str, Json] = {
            "actor": actor,
            "reason": reason,
            "before": before,
            "root": subject.root,
            "approvals": list(given),
            **({"unsent": list[Json](lacking)} if lacking else {}),
        }
        (receipt,) = self.audit.append(Draft(KIND, fields)).result()
        return receipt

    def _code(self, end: int, latest_us: int | None, seen: int | None) -> str:
        if latest_us is None:
            return "prune_boundary"
        if self.clock.wall_us() - latest_us < self.keep_days * _DAY_US:
            return "prune_too_young"
        return "prune_unwitnessed" if seen is not None and seen < end else ""

    def _refused(self, actor: str, before: int, action: str, error: Refused) -> None:
        self.audit.append(
            Draft.deed(action, actor, before=before, code=error.code, reason=error.message)
        ).result()
