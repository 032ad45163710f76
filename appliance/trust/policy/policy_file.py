"""Reading the trust policy of a data directory: a lab's own, or the one that a site trusts."""

import hashlib
import os
from pathlib import Path
from typing import Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import policy_document, trusted_file
from appliance.trust.policy.policy import TrustPolicy

_MAX_POLICY: Final = 4 << 20


def marks_key(directory: Path) -> bytes:
    """The site's key of marks, from its first trust root."""
    return hashlib.sha256(b"marks of sealed items\0" + _first_root(directory)).digest()


def site_id(directory: Path) -> str:
    """The site's id in hex, from its first trust root."""
    return hashlib.sha256(b"site of documents\0" + _first_root(directory)).hexdigest()


def _first_root(directory: Path) -> bytes:
    if trusted_file.exists(directory):
        return trusted_file.load(directory).held.roots[0]
    load_policy(directory)
    return (directory / "root.pub").read_bytes()


def load_policy(directory: Path) -> TrustPolicy:
    """Read and verify the trust policy (`policy_missing`).

    Args:
        directory: `DATA/trust`: of a site with `metadata.json`, of a lab with `root.pub` and
            `policy.json`.
    """
    if trusted_file.exists(directory):
        policy = trusted_file.load(directory).policy
        if policy is None:
            raise PolicyRefused("policy_missing", "This site has a trust root and no policy yet.")
        return policy
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            root = directories.read_prefix(fd, "root.pub", _MAX_POLICY)
            envelope = directories.read_prefix(fd, "policy.json", _MAX_POLICY + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise PolicyRefused("policy_missing", f"No trust policy: {error.strerror}.") from error
    except SignatureRefused as error:
        raise PolicyRefused("policy_missing", f"No trust policy: {error.message}") from error
    try:
        policy = policy_document.verify(envelope, ecdsa.load_public(root))
    except SignatureRefused as error:
        raise PolicyRefused("policy_signature", f"root.pub: {error.message}") from error
    if policy.profile != "lab":
        raise PolicyRefused("trust_profile", "Only a lab's policy has a root.pub next to it.")
    return policy
