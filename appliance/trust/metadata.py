"""Trust metadata (TUF): bytes in, what is trusted next or one refusal out.

Rules:
- What is trusted moves forward only: from one root to the next by signatures of both, versions up,
  bounded steps, nothing that is expired now. One refusal leaves everything as it was.
- A root takes at least two people; keys are ECDSA and differ, and so do the people of one role.
- The one target that is used is `policy.json`, and it must be a site's: a lab's never counts.
- Changed timestamp or snapshot keys void what those keys said (recovery from a fast-forward
  attack); changed targets keys void the version of the policy.
- Times are injected. What is held already is verified again at each reading, but for its expiry,
  which must not stop a plant: `freshness` decides what that costs.

Parsing, canonical form and thresholds are python-tuf's; the workflow is our own since the library's
reads the host's clock, writes file by file and has no stable codes (ADR 0021).

Source: TUF specification 1.0.33, section 5 (detailed client workflow).
"""

import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from tuf.api.exceptions import LengthOrHashMismatchError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust import ecdsa, policy_document, strict_json
from appliance.trust.policy import TrustPolicy

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)

POLICY: Final = "policy.json"
HOLDER: Final = "x-holder"
"""The field of a key in the root that names the person who holds it."""
LIMITS: Final = {
    "root.json": 64 << 10,
    "timestamp.json": 16 << 10,
    "snapshot.json": 64 << 10,
    "targets.json": 256 << 10,
    POLICY: 1 << 20,
}
"""Most bytes of each file."""
MAX_ROOTS: Final = 32
MAX_STEP: Final = 10_000
"""How far one update may count a version up."""
_ROOT_NAME: Final = re.compile(r"([1-9]\d{0,6})\.root\.json")
_SCHEMES: Final = {
    "secp256r1": "ecdsa-sha2-nistp256",
    "secp384r1": "ecdsa-sha2-nistp384",
    "secp521r1": "ecdsa-sha2-nistp521",
}


@dataclass(frozen=True)
class Held:
    """The files that are trusted, as they were signed; empty ones are not there yet.

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
    """The same, read."""

    held: Held
    root: Root
    timestamp: Timestamp | None = None
    snapshot: Snapshot | None = None
    targets: Targets | None = None
    policy: TrustPolicy | None = None

    @property
    def expires(self) -> datetime.datetime:
        """When the first of them expires."""
        parts = (self.root, self.timestamp, self.snapshot, self.targets)
        return min(part.expires for part in parts if part is not None)

    @property
    def versions(self) -> dict[str, int]:
        """The version of each; 0 for what is not there yet."""
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


def fingerprint(root: bytes) -> str:
    """How people compare a root: hex SHA-256 of the file, as `sha256sum` prints it."""
    return hashlib.sha256(root).hexdigest()


def begin(root: bytes, expected: str) -> Trusted:
    """Trust a first root because people compared its fingerprint.

    Args:
        expected: hex; blanks, colons and case do not matter.

    Raises:
        PolicyRefused: `trust_fingerprint`, and what reading the root raises.
    """
    wanted = re.sub(r"[\s:-]", "", expected).lower()
    if wanted != fingerprint(root):
        raise _refused("trust_fingerprint", f"the root has the fingerprint {fingerprint(root)}")
    return read(Held((root,)))


def read(held: Held) -> Trusted:
    """Verify again what is held, whatever the time is.

    Raises:
        PolicyRefused: any code of `advance` but `trust_expired`.
    """
    signed = _load(Root, held.roots[-1], "root.json")
    _check_root(signed)
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
    """What is trusted after an update.

    Args:
        offer: files by name: `N.root.json`, `timestamp.json`, `snapshot.json`, `targets.json`
            and `policy.json`.
        at: now.

    Raises:
        PolicyRefused: `trust_metadata_missing`, `trust_metadata_malformed`,
            `trust_metadata_too_long`, `trust_root_unrelated`, `trust_root_version`,
            `trust_root_weak`, `trust_threshold`, `trust_rollback`, `trust_fast_forward`,
            `trust_expired`, `trust_mixed`, `trust_hash`, `trust_profile`, `policy_invalid`.
    """
    for name, data in offer.items():
        limit = LIMITS.get(_kind(name))
        if limit is None:
            raise _refused("trust_metadata_malformed", f"{name[:80]!r} is not a file of it")
        if len(data) > limit:
            raise _refused("trust_metadata_too_long", f"{name} is longer than {limit} bytes")
    renewed = _next_roots(trusted, offer)
    _check_time(renewed.root, at, "the root")
    return _follow(renewed, _still_valid(trusted, renewed.root), offer, at)


def _kind(name: str) -> str:
    return "root.json" if _ROOT_NAME.fullmatch(name) else name


def _next_roots(trusted: Trusted, offer: Mapping[str, bytes]) -> Trusted:
    """Go from root to root, each signed by the one before and by itself."""
    offered = {int(m[1]): offer[name] for name in offer if (m := _ROOT_NAME.fullmatch(name))}
    if len(offered) > MAX_ROOTS:
        raise _refused("trust_metadata_too_long", f"there are more than {MAX_ROOTS} roots")
    root, roots = trusted.root, list(trusted.held.roots)
    known = offered.pop(root.version, None)
    if known is not None and known != roots[-1]:
        same = _load(Root, known, f"{root.version}.root.json")
        if same.signed != root:
            raise _refused("trust_root_unrelated", f"root {root.version} is another one than here")
    for version in sorted(number for number in offered if number > root.version):
        name = f"{version}.root.json"
        new = _load(Root, offered[version], name)
        if not (new.signed.version == version == root.version + 1):
            raise _refused(
                "trust_root_version",
                f"{name} is root {new.signed.version}, after root {root.version}",
            )
        _demand(root, "root", new, "trust_root_unrelated", f"{name} and the root before it")
        _check_root(new)
        root = new.signed
        roots.append(offered[version])
    return replace(trusted, root=root, held=replace(trusted.held, roots=tuple(roots)))


def _check_root(metadata: Metadata[Root]) -> None:
    """A root must be signed by itself, and mean two people with good keys."""
    root = metadata.signed
    _demand(root, "root", metadata, "trust_threshold", f"root {root.version}")
    if root.consistent_snapshot:
        raise _refused("trust_metadata_malformed", "consistent snapshots are for servers")
    if root.roles["root"].threshold < 2:
        raise _refused("trust_root_weak", "one person alone could sign a root")
    hints: set[str] = set()
    for key in root.keys.values():
        try:
            public = ecdsa.load_public(str(key.keyval.get("public")).encode())
        except SignatureRefused as error:
            raise _refused("trust_root_weak", f"a key in the root: {error.message}") from error
        if key.keytype != "ecdsa" or key.scheme != _SCHEMES[public.curve.name]:
            raise _refused("trust_root_weak", f"a key in the root has the scheme {key.scheme!r}")
        if ecdsa.hint(public) in hints:
            raise _refused("trust_root_weak", "one key is in the root under two names")
        hints.add(ecdsa.hint(public))
    for name, role in root.roles.items():
        keys = [root.keys[keyid] for keyid in role.keyids if keyid in root.keys]
        holders = [h for key in keys if (h := key.unrecognized_fields.get(HOLDER)) is not None]
        if len(keys) < role.threshold or len({str(h) for h in holders}) != len(holders):
            raise _refused("trust_root_weak", f"{name} has too few people for its threshold")


def _still_valid(trusted: Trusted, root: Root) -> Trusted:
    """What an update is compared with: nothing that was said by keys that were replaced since."""
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
    """From the root to the policy; `before` and `at` are None for what is held already."""
    root = trusted.root
    timestamp = _signed(root, Timestamp, offer, "timestamp.json", at)
    known = before.timestamp if before else None
    _check_step("the timestamp", timestamp, known)
    if known is not None:
        _check_version("the snapshot", timestamp.snapshot_meta.version, known.snapshot_meta.version)

    snapshot = _signed(root, Snapshot, offer, "snapshot.json", None)
    _check_meta("snapshot.json", snapshot.version, timestamp.snapshot_meta, offer)
    _check_time(snapshot, at, "the snapshot")
    meta = snapshot.meta.get("targets.json")
    if meta is None:
        raise _refused("trust_metadata_malformed", "the snapshot does not name targets.json")
    if before and before.snapshot:
        for name, old in before.snapshot.meta.items():
            listed = snapshot.meta.get(name)
            _check_version(name, listed.version if listed else 0, old.version)

    targets = _signed(root, Targets, offer, "targets.json", None)
    _check_meta("targets.json", targets.version, meta, offer)
    _check_time(targets, at, "targets.json")
    _check_step("targets.json", targets, before.targets if before else None)
    if targets.delegations is not None:
        raise _refused("trust_metadata_malformed", "targets.json delegates to others")
    target = targets.targets.get(POLICY)
    if target is None:
        raise _refused("trust_metadata_missing", f"targets.json does not name {POLICY}")
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
    metadata = _load(kind, _file(offer, name), name)
    _demand(root, kind.type, metadata, "trust_threshold", name)
    _check_time(metadata.signed, at, name)
    return metadata.signed


def _file(offer: Mapping[str, bytes], name: str) -> bytes:
    if name not in offer:
        raise _refused("trust_metadata_missing", f"{name} is missing")
    return offer[name]


def _load(kind: type[Role], data: bytes, name: str) -> Metadata[Role]:
    def refuse(problem: str) -> PolicyRefused:
        return _refused("trust_metadata_malformed", f"{name}: {problem}")

    strict_json.parse(data, refuse)  # no duplicate keys, no depth bombs: one meaning
    try:
        metadata = Metadata[Role].from_bytes(data)
    except DeserializationError as error:
        raise refuse("it is not TUF metadata") from error
    if metadata.signed.type != kind.type:
        raise refuse(f"it is {metadata.signed.type} metadata")
    return metadata


def _demand(root: Root, role: str, metadata: Metadata[Role], code: str, what: str) -> None:
    """Ask for the signatures of a role of the root."""
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise _refused(code, f"{what}: {error}") from error


def _check_time(
    part: Root | Timestamp | Snapshot | Targets, at: datetime.datetime | None, what: str
) -> None:
    if at is not None and part.is_expired(at):
        raise _refused("trust_expired", f"{what} expired at {part.expires:%Y-%m-%d %H:%M} UTC")


def _check_version(what: str, new: int, old: int) -> None:
    if new < old:
        raise _refused("trust_rollback", f"{what} has version {new}, and {old} was seen already")
    if new > old + MAX_STEP:
        raise _refused("trust_fast_forward", f"{what} goes from version {old} to {new}")


def _check_step(what: str, new: Timestamp | Targets, old: Timestamp | Targets | None) -> None:
    """Versions only count up, and one version has one content."""
    _check_version(what, new.version, old.version if old else 0)
    if old is not None and new.version == old.version and new != old:
        raise _refused("trust_mixed", f"{what} of version {new.version} is another one than here")


def _check_meta(name: str, version: int, meta: MetaFile, offer: Mapping[str, bytes]) -> None:
    if version != meta.version:
        raise _refused(
            "trust_mixed", f"{name} has version {version}; version {meta.version} belongs here"
        )
    _check_bytes(name, meta, offer[name])


def _check_bytes(name: str, listed: MetaFile | TargetFile, data: bytes) -> None:
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise _refused("trust_hash", f"{name}: {error}") from error


def _policy(data: bytes, target: TargetFile) -> TrustPolicy:
    _check_bytes(POLICY, target, data)
    policy = policy_document.parse(data)
    if policy.profile != "site":
        raise _refused("trust_profile", f"the policy is of the profile {policy.profile}")
    return policy


def _check_policy(policy: TrustPolicy, before: Trusted | None, data: bytes) -> None:
    old = before.policy if before else None
    _check_version("the policy", policy.version, old.version if old else 0)
    if before and old and policy.version == old.version and data != before.held.policy:
        raise _refused(
            "trust_mixed", f"the policy of version {policy.version} is another one than here"
        )


def _refused(code: str, problem: str) -> PolicyRefused:
    return PolicyRefused(code, f"Trust metadata: {problem}.")
