"""The witness's side: which head of another log may be cosigned. Pure.

Rules: a log is known by its first key; later keys follow from the handovers of a request. A head is
cosigned only if the log's key of that time signed it and it begins with all that was seen before.

Source, also of the statuses: c2sp.org/tlog-witness, "add-checkpoint".
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from appliance.audit import checkpoint
from appliance.audit.anchors import WitnessRequest
from appliance.audit.checkpoint import Checkpoint, VerifierKey
from appliance.audit.handover import Epoch, Handover
from appliance.audit.merkle import verify_consistency
from appliance.errors import AuditRefused


class NotCosigned(Exception):
    """A head that is not cosigned.

    Attributes:
        status: of HTTP.
        size: entries that were seen of the log, from which the client may continue.
        other: whether the head, if its log sends it, shows another log than was seen.
    """

    def __init__(
        self, status: int, why: str, *, size: int | None = None, other: bool = False
    ) -> None:
        super().__init__(why)
        self.status, self.why, self.size, self.other = status, why, size, other


@dataclass(frozen=True)
class SeenLog:
    """A log as it was seen.

    Attributes:
        epoch: its newest key.
        size, root: of the newest head; 0 and b"" without one.
    """

    epoch: Epoch
    size: int = 0
    root: bytes = b""

    @classmethod
    def first(cls, genesis: VerifierKey) -> "SeenLog":
        return cls(Epoch.first(genesis))


def extended(seen: SeenLog, request: WitnessRequest) -> SeenLog:
    """The log with the head of a request, whose note is well-formed.

    Raises:
        NotCosigned: 403, 409 or 422.
    """
    size = checkpoint.parse(request.note).checkpoint.size
    if size < seen.size:
        why = f"it has {size} entries, and {seen.size} were seen"
        raise NotCosigned(409, why, size=seen.size, other=True)
    if request.old != seen.size:  # before the keys, which follow from where it begins
        why = f"{seen.size} entries were seen, not {request.old}"
        raise NotCosigned(409, why, size=seen.size)
    epoch, head = signed_head(seen.epoch, request.handovers, request.note, changed=seen.size > 0)
    if not head.size:
        raise NotCosigned(422, "an empty log has nothing to see")
    path, same = request.path, not seen.size and not request.path
    if not same and not verify_consistency(seen.size, head.size, path, seen.root, head.root):
        why = f"its first {seen.size} entries are not those that were seen"
        raise NotCosigned(422, why, other=True)
    return replace(seen, epoch=epoch, size=head.size, root=head.root)


def signed_head(
    epoch: Epoch, handovers: Iterable[Handover], note: bytes, *, changed: bool
) -> tuple[Epoch, Checkpoint]:
    """A head that the log's key of that time signed, and the epoch of that key.

    Args:
        epoch: one that was known before.
        changed: whether another key shows that the log is not what was seen.

    Raises:
        NotCosigned: 403.
    """
    try:
        # A head that closed an epoch is signed by the key of that epoch.
        size = checkpoint.parse(note).checkpoint.size
        due = (h for h in handovers if h.size < size and h.epoch >= epoch.number)
        found = epoch.through(due)
        return found, checkpoint.verify(note, found.key)
    except AuditRefused as error:
        raise NotCosigned(403, error.message, other=changed) from error
