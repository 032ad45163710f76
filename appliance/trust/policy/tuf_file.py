"""One file of TUF metadata: read strictly (`strict_json` before python-tuf), signed by enough of
the right people, not expired at the caller's time.
"""

import datetime
from typing import TypeVar

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from appliance.errors import PolicyRefused
from appliance.trust.bytes import strict_json

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)


def load(kind: type[Role], data: bytes, name: str) -> Metadata[Role]:
    """Read a file; `name` is for messages (`trust_metadata_malformed`)."""

    def refuse(problem: str) -> PolicyRefused:
        return refused("trust_metadata_malformed", f"{name}: {problem}")

    strict_json.parse(data, refuse)  # no duplicate keys, no depth bombs: one meaning
    try:
        metadata = Metadata[Role].from_bytes(data)
    except DeserializationError as error:
        raise refuse("it is not TUF metadata") from error
    if metadata.signed.type != kind.type:
        raise refuse(f"it is {metadata.signed.type} metadata")
    return metadata


def demand(root: Root, role: str, metadata: Metadata[Role], code: str, what: str) -> None:
    """Check the signatures of a role of the root; refuse with `code`."""
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise refused(code, f"{what}: {error}") from error


def check_time(
    part: Root | Timestamp | Snapshot | Targets, at: datetime.datetime | None, what: str
) -> None:
    """Refuse metadata that is expired at a time (`trust_expired`); None checks nothing."""
    if at is not None and part.is_expired(at):
        raise refused("trust_expired", f"{what} expired at {part.expires:%Y-%m-%d %H:%M} UTC")


def refused(code: str, problem: str) -> PolicyRefused:
    """The refusal of metadata, in one sentence."""
    return PolicyRefused(code, f"Trust metadata: {problem}.")
