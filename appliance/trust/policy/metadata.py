"""Trust metadata (TUF): bytes in, the next trusted metadata or one refusal out.

Rules:
- Trusted metadata moves forward only, in bounded steps; one refusal leaves everything as it was.
- The one target that is used is `policy.json`, and it must be a site's, never a lab's.
- Changed timestamp or snapshot keys void what those keys said (recovery from a fast-forward
  attack); changed targets keys void the version of the policy.
- Held metadata is verified again at each reading, but for its expiry (`freshness`).

The workflow is our own (ADR 0021).

Source: TUF specification 1.0.33, section 5 (detailed client workflow).
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from appliance.trust.policy import policy_document
from appliance.trust.policy import root as roots
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.policy.root import Reset
from appliance.trust.policy.tuf_file import Role, check_time, demand, load, refused

POLICY: Final = "policy.json"
LIMITS: Final = {
    "root.json": 64 << 10,
    "timestamp.json": 16 << 10,
    "snapshot.json": 64 << 10,
    "targets.json": 256 << 10,
    POLICY: 1 << 20,
}
"""Most bytes of each file."""
_STRONG: Final = frozenset({"sha256", "sha384", "sha512"})
MAX_STEP: Final = 10_000
"""The most that one update may count a version up."""


@dataclass(frozen=True)
class Held:
    """The trusted files, as they were signed; empty ones are not there yet.

    Attributes:
        roots: every root that was trusted, oldest first.
    """

    roots: tuple[bytes, ...]
    timestamp: bytes = b""
    snapshot: bytes = b""
    targets: bytes = b""
    policy: bytes = b""


@dataclass(frozen=True)
class Trusted:
    """`Held`, read."""

    held: Held
    root: Root
    timestamp: Timestamp | None = None
    snapshot: Snapshot | None = None
    targets: Targets | None = None
    policy: TrustPolicy | None = None

    @property
    def expires(self) -> datetime.datetime:
        parts = (self.root, self.timestamp, self.snapshot, self.targets)
        return min(part.expires for part in parts if part is not None)

    @property
    def reset(self) -> Reset | None:
        """The newest root that reset the clock's floor, if one did."""
        return roots.reset_of(self.held.roots[1:])

    @property
    def versions(self) -> dict[str, int]:
        """The version of each; 0 for a missing one."""
        return {
            name: part.version if part else 0
            for name, part in (
                ("root", self.root),
                ("timestamp", self.timestamp),
                ("snapshot", self.snapshot),
                ("targets", self.targets),
                ("policy", self.policy),
            )
        }


def begin(root: bytes, expected: str) -> Trusted:
    """Trust a first root by its fingerprint, whose blanks, colons and case do not matter
    (`trust_fingerprint`).
    """
    wanted = re.sub(r"[\s:-]", "", expected).lower()
    if wanted != roots.fingerprint(root):  # never named: somebody would copy it
        raise refused("trust_fingerprint", "the root has another fingerprint than the one given")
    return read(Held((root,)))


def read(held: Held) -> Trusted:
    """Verify held metadata again, at any time."""
    signed = load(Root, held.roots[-1], "root.json")
    roots.check(signed)
    if roots.reset_of(held.roots[1:]):
        roots.verify_chain(held.roots)
    trusted = Trusted(held, signed.signed)
    if not held.timestamp:
        return trusted
    offer = {
        "timestamp.json": held.timestamp,
        "snapshot.json": held.snapshot,
        "targets.json": held.targets,
        POLICY: held.policy,
    }
    return _follow(trusted, None, offer, None)


def advance(trusted: Trusted, offer: Mapping[str, bytes], at: datetime.datetime) -> Trusted:
    """Update the trusted metadata.

    Args:
        offer: files by name: `N.root.json`, `timestamp.json`, `snapshot.json`, `targets.json`
            and `policy.json`.

    Raises:
        PolicyRefused: `trust_metadata_missing`, `trust_metadata_malformed`,
            `trust_metadata_too_long`, `trust_rollback`, `trust_fast_forward`, `trust_mixed`,
            `trust_hash`, `trust_profile`; what `root.follow`, `tuf_file` and
            `policy_document.parse` refuse.
    """
    for name, data in offer.items():
        limit = LIMITS.get(_kind(name))
        if limit is None:
            raise refused("trust_metadata_malformed", f"{name[:80]!r} is not a file of it")
        if len(data) > limit:
            raise refused("trust_metadata_too_long", f"{name} is longer than {limit} bytes")
    renewed = _renewed(trusted, offer)
    check_time(renewed.root, at, "the root")
    return _follow(renewed, _still_valid(trusted, renewed.root), offer, at)


def _kind(name: str) -> str:
    return name if roots.version_of(name) is None else "root.json"


def _renewed(trusted: Trusted, offer: Mapping[str, bytes]) -> Trusted:
    policy, held = trusted.policy, trusted.held
    signed_us = policy.issued_us if policy else 0
    root, chain = roots.follow(trusted.root, held.roots, offer, signed_us)
    return replace(trusted, root=root, held=replace(held, roots=chain))


def _still_valid(trusted: Trusted, root: Root) -> Trusted:
    """Base of an update's comparison, without the statements of keys that were replaced since."""
    before = trusted
    if any(_keys(trusted.root, r) != _keys(root, r) for r in ("timestamp", "snapshot")):
        before = replace(before, timestamp=None, snapshot=None, targets=None)
    if _keys(trusted.root, "targets") != _keys(root, "targets"):
        before = replace(before, targets=None, policy=None)
    return before


def _keys(root: Root, role: str) -> set[str]:
    keyids = root.roles[role].keyids
    return {str(root.keys[keyid].keyval) for keyid in keyids if keyid in root.keys}


def _follow(
    trusted: Trusted,
    before: Trusted | None,
    offer: Mapping[str, bytes],
    at: datetime.datetime | None,
) -> Trusted:
    """From the root to the policy; `before` and `at` are None for held metadata."""
    root = trusted.root
    timestamp = _signed(root, Timestamp, offer, "timestamp.json", at)
    known = before.timestamp if before else None
    _check_step("the timestamp", timestamp, known)
    if known is not None:
        _check_version("the snapshot", timestamp.snapshot_meta.version, known.snapshot_meta.version)

    snapshot = _signed(root, Snapshot, offer, "snapshot.json", None)
    _check_meta("snapshot.json", snapshot.version, timestamp.snapshot_meta, offer)
    _check_step("the snapshot", snapshot, before.snapshot if before else None)
    check_time(snapshot, at, "the snapshot")
    meta = snapshot.meta.get("targets.json")
    if meta is None:
        raise refused("trust_metadata_malformed", "the snapshot does not name targets.json")
    if before and before.snapshot:
        for name, old in before.snapshot.meta.items():
            listed = snapshot.meta.get(name)
            _check_version(name, listed.version if listed else 0, old.version)

    targets = _signed(root, Targets, offer, "targets.json", None)
    _check_meta("targets.json", targets.version, meta, offer)
    check_time(targets, at, "targets.json")
    _check_step("targets.json", targets, before.targets if before else None)
    if targets.delegations is not None:
        raise refused("trust_metadata_malformed", "targets.json delegates to others")
    target = targets.targets.get(POLICY)
    if target is None:
        raise refused("trust_metadata_missing", f"targets.json does not name {POLICY}")
    policy = _policy(_file(offer, POLICY), target)
    _check_policy(policy, before, offer[POLICY])
    held = Held(
        trusted.held.roots,
        offer["timestamp.json"],
        offer["snapshot.json"],
        offer["targets.json"],
        offer[POLICY],
    )
    return Trusted(held, root, timestamp, snapshot, targets, policy)


def _signed(
    root: Root,
    kind: type[Role],
    offer: Mapping[str, bytes],
    name: str,
    at: datetime.datetime | None,
) -> Role:
    metadata = load(kind, _file(offer, name), name)
    demand(root, kind.type, metadata, "trust_threshold", name)
    check_time(metadata.signed, at, name)
    return metadata.signed


def _file(offer: Mapping[str, bytes], name: str) -> bytes:
    if name not in offer:
        raise refused("trust_metadata_missing", f"{name} is missing")
    return offer[name]


def _check_version(what: str, new: int, old: int) -> None:
    if new < old:
        raise refused("trust_rollback", f"{what} has version {new}, and {old} was seen already")
    if new > old + MAX_STEP:
        raise refused("trust_fast_forward", f"{what} goes from version {old} to {new}")


def _check_step(what: str, new: Role, old: Role | None) -> None:
    """Versions only count up, and one version has one content."""
    _check_version(what, new.version, old.version if old else 0)
    if old is not None and new.version == old.version and new != old:
        raise refused("trust_mixed", f"{what} of version {new.version} is another one than here")


def _check_meta(name: str, version: int, meta: MetaFile, offer: Mapping[str, bytes]) -> None:
    if version != meta.version:
        raise refused(
            "trust_mixed", f"{name} has version {version}; version {meta.version} belongs here"
        )
    _check_bytes(name, meta, offer[name])


def _check_bytes(name: str, listed: MetaFile | TargetFile, data: bytes) -> None:
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise refused("trust_hash", f"{name}: {error}") from error


def _policy(data: bytes, target: TargetFile) -> TrustPolicy:
    if not _STRONG & target.hashes.keys():
        raise refused("trust_hash", f"{POLICY} is listed without a SHA-2 digest of 256 bits")
    _check_bytes(POLICY, target, data)
    policy = policy_document.parse(data)
    if policy.profile != "site":
        raise refused("trust_profile", f"the policy is of the profile {policy.profile}")
    return policy


def _check_policy(policy: TrustPolicy, before: Trusted | None, data: bytes) -> None:
    old = before.policy if before else None
    _check_version("the policy", policy.version, old.version if old else 0)
    if before and old and policy.version == old.version and data != before.held.policy:
        raise refused(
            "trust_mixed", f"the policy of version {policy.version} is another one than here"
        )
