"""TUF metadata by a security officer: from keys and a plan, signed by those present. Pure.

Rules: each holder signs with their own key, in any order and on any day. Private keys, on tokens or
in files under a passphrase, are opened only to sign. Each key in the root names its holder.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeVar

from securesystemslib.signer import SecretsHandler, Signature, Signer, SSlibKey
from tuf.api.metadata import (
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
    VerificationResult,
)

from appliance.errors import Refused
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.metadata import POLICY
from appliance.trust.policy.root import CLOCK, HOLDER, holder_of

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)
ROLES: Final = ("root", "targets", "snapshot", "timestamp")
KINDS: Final[Mapping[str, type[Root | Targets | Snapshot | Timestamp]]] = {
    "root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp,
}  # fmt: skip


class OfficerSigner(Signer):
    """A person's key as TUF's library signs with it."""

    def __init__(self, key: ecdsa.SigningKey) -> None:
        self._key, self._public = key, SSlibKey.from_crypto(key.public_key())

    @property
    def public_key(self) -> SSlibKey:
        return self._public

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._public.keyid, ecdsa.sign(self._key, payload).hex())

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> NoReturn:
        """Never called: keys are opened by this program."""
        raise NotImplementedError(priv_key_uri)


def public_key(pem: bytes, holder: str) -> SSlibKey:
    """A key as the root lists it (`signature_key_unsupported`, `trust_profile`)."""
    refuse_lab(pem)
    key = SSlibKey.from_crypto(ecdsa.load_public(pem))
    key.unrecognized_fields[HOLDER] = holder
    return key


def refuse_lab(pem: bytes) -> None:
    """Refuse the file of a key that a lab made (`trust_profile`)."""
    if ecdsa.is_lab(pem):
        raise Refused("trust_profile", "This is the key of a lab; a site has its own.")


def make_root(
    version: int,
    expires: datetime.datetime,
    keys: Mapping[str, Sequence[SSlibKey]],
    thresholds: Mapping[str, int],
    clock: datetime.datetime | None = None,
) -> bytes:
    """An unsigned root; `clock` is the floor of the appliances' clocks, in place of the recorded
    one.
    """
    said = {CLOCK: f"{clock:%Y-%m-%dT%H:%M:%SZ}"} if clock else {}
    root = Root(
        version=version, expires=expires, consistent_snapshot=False, unrecognized_fields=said
    )
    for role in ROLES:
        for key in keys[role]:
            root.add_key(key, role)
        root.roles[role].threshold = thresholds[role]
    return Metadata(root).to_bytes()


def make_targets(version: int, expires: datetime.datetime, policy: bytes) -> bytes:
    """Unsigned targets: the policy."""
    targets = Targets(version=version, expires=expires)
    targets.targets[POLICY] = TargetFile.from_data(POLICY, policy, ["sha256"])
    return Metadata(targets).to_bytes()


def make_snapshot(version: int, expires: datetime.datetime, targets_version: int) -> bytes:
    """An unsigned snapshot. It carries no hash of the targets, which are still being signed."""
    meta = {"targets.json": MetaFile(targets_version)}
    return Metadata(Snapshot(version=version, expires=expires, meta=meta)).to_bytes()


def make_timestamp(version: int, expires: datetime.datetime, snapshot_version: int) -> bytes:
    """An unsigned timestamp."""
    meta = MetaFile(snapshot_version)
    timestamp = Timestamp(version=version, expires=expires, snapshot_meta=meta)
    return Metadata(timestamp).to_bytes()


def sign(data: bytes, signer: Signer) -> bytes:
    """The same metadata with one more signature, or with the signer's replaced."""
    metadata: Metadata[Root] = Metadata.from_bytes(data)
    metadata.sign(signer, append=True)
    return metadata.to_bytes()


def missing(root: Root, role: str, data: bytes) -> tuple[int, list[str]]:
    """Number of missing signatures under a root, and the holders who could give them."""
    result = _signatures(root, role, data)
    return result.missing, _names(result.unsigned)


def signed_by(root: Root, role: str, data: bytes) -> list[str]:
    """The holders of a role under a root who signed a file."""
    return _names(_signatures(root, role, data).signed)


def _signatures(root: Root, role: str, data: bytes) -> VerificationResult:
    metadata: Metadata[Root] = Metadata.from_bytes(data)
    return root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)


def _names(keys: Mapping[str, Key]) -> list[str]:
    return sorted(holder_of(key) or keyid for keyid, key in keys.items())
