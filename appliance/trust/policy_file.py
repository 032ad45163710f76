"""Reading the trust policy of a data directory."""

import os
from pathlib import Path
from typing import Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust import directory as directories
from appliance.trust import ecdsa, policy_document
from appliance.trust.policy import TrustPolicy

_MAX_POLICY: Final = 4 << 20


def load_policy(directory: Path) -> TrustPolicy:
    """Read and verify the trust policy.

    Args:
        directory: `DATA/trust` with `root.pub` and `policy.json`.

    Raises:
        PolicyRefused: `policy_missing`, `policy_signature`, `policy_invalid`.
    """
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
        return policy_document.verify(envelope, ecdsa.load_public(root))
    except SignatureRefused as error:
        raise PolicyRefused("policy_signature", f"root.pub: {error.message}") from error
