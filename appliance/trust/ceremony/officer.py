"""TUF metadata by a security officer: from keys and a plan, signed by those present.

Rules:
- Drafts are complete but for signatures; each holder adds one with the own key, in any order and on
  any day. Nothing is published that the appliance's own verifier would refuse.
- Private keys are PKCS #8 files with a passphrase, mode 0600; they are read to sign and kept
  nowhere else.
- Each key in the root names the person who holds it.

Pure but for the key files: bytes in, bytes out. `ceremony` keeps them in a directory.
"""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, SSlibKey
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
from appliance.trust.bytes import durable, ecdsa
from appliance.trust.policy.metadata import POLICY
from appliance.trust.policy.root import CLOCK, HOLDER, holder_of

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)
ROLES: Final = ("root", "targets", "snapshot", "timestamp")
KINDS: Final[Mapping[str, type[Root | Targets | Snapshot | Timestamp]]] = {
    "root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp,
}  # fmt: skip
MIN_PASSPHRASE: Final = 12


def new_key(path: Path, passphrase: str) -> bytes:
    """Make a P-384 key in a new file of mode 0600, encrypted.

    Returns:
        The public key, PEM.

    Raises:
        Refused: `passphrase_refused` for a short one.
        FileExistsError: there is a file already; `open_key` reads it.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise Refused(
            "passphrase_refused", f"A passphrase takes at least {MIN_PASSPHRASE} characters."
        )
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    durable.create(path, pem)
    return ecdsa.public_pem(key.public_key())


def open_key(path: Path, passphrase: str) -> CryptoSigner:
    """Read a private key to sign with.

    Raises:
        Refused: `passphrase_refused` when it does not open the file, `key_unreadable`.
    """
    data = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode())
    except TypeError as error:
        raise Refused("key_unreadable", f"{path} has no passphrase; it must have one.") from error
    except ValueError as error:
        raise Refused(
            "passphrase_refused", f"{path} does not open with this passphrase."
        ) from error
    except UnsupportedAlgorithm as error:
        raise Refused("key_unreadable", f"{path} is not readable.") from error
    if not isinstance(key, ecdsa.PrivateKey) or key.curve.name not in ecdsa.ALGORITHMS:
        raise Refused("key_unreadable", f"{path} is not an ECDSA key of a curve that is used here.")
    return CryptoSigner(key)


def public_pem_of(signer: CryptoSigner) -> bytes:
    """The public half of a private key that was opened."""
    return str(signer.public_key.keyval["public"]).encode()


def public_key(pem: bytes, holder: str) -> SSlibKey:
    """A key as the root lists it.

    Raises:
        SignatureRefused: `signature_key_unsupported`.
        Refused: `trust_profile` for a key of a lab.
    """
    refuse_lab(pem)
    key = SSlibKey.from_crypto(ecdsa.load_public(pem))
    key.unrecognized_fields[HOLDER] = holder
    return key


def refuse_lab(pem: bytes) -> None:
    """Refuse the file of a key that a lab made.

    Raises:
        Refused: `trust_profile`.
    """
    if ecdsa.is_lab(pem):
        raise Refused("trust_profile", "This is the key of a lab; a site has its own.")


def make_root(
    version: int,
    expires: datetime.datetime,
    keys: Mapping[str, Sequence[SSlibKey]],
    thresholds: Mapping[str, int],
    clock: datetime.datetime | None = None,
) -> bytes:
    """An unsigned root.

    Args:
        clock: the time that appliances take as their clock's floor, in place of what they recorded.
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


def sign(data: bytes, signer: CryptoSigner) -> bytes:
    """The same metadata with one more signature, or with the signer's replaced."""
    metadata: Metadata[Root] = Metadata.from_bytes(data)
    metadata.sign(signer, append=True)
    return metadata.to_bytes()


def missing(root: Root, role: str, data: bytes) -> tuple[int, list[str]]:
    """Number of signatures that a draft lacks under a root, and the holders who could give them."""
    result = _signatures(root, role, data)
    return result.missing, _names(result.unsigned)


def signed_by(root: Root, role: str, data: bytes) -> list[str]:
    """The holders of a role under a root who have signed a file."""
    return _names(_signatures(root, role, data).signed)


def _signatures(root: Root, role: str, data: bytes) -> VerificationResult:
    metadata: Metadata[Root] = Metadata.from_bytes(data)
    return root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)


def _names(keys: Mapping[str, Key]) -> list[str]:
    return sorted(holder_of(key) or keyid for keyid, key in keys.items())


def may_sign(root: Root, role: str, signer: CryptoSigner) -> bool:
    """True if a key has a role under a root."""
    return signer.public_key.keyid in root.roles[role].keyids
