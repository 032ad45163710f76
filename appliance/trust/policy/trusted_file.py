"""A site's trust on the disk: one file with the metadata as signed, replaced in one rename."""

import os
from pathlib import Path
from typing import Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes import durable, strict_json
from appliance.trust.policy import metadata
from appliance.trust.policy.metadata import Held, Trusted

FILE: Final = "metadata.json"
_LIMIT: Final = 16 << 20
_PARTS: Final = ("timestamp", "snapshot", "targets", "policy")


def exists(directory: Path) -> bool:
    """True if `DATA/trust` is a site's."""
    return (directory / FILE).exists()


def load(directory: Path) -> Trusted:
    """Read and verify the trusted metadata (`policy_missing`)."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            data = directories.read_prefix(fd, FILE, _LIMIT + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise PolicyRefused("policy_missing", f"No trust metadata: {error.strerror}.") from error
    except SignatureRefused as error:
        raise PolicyRefused("policy_missing", f"No trust metadata: {error.message}") from error
    return metadata.read(_parse(data))


def save(directory: Path, held: Held) -> None:
    """Replace the file, durably. After an OSError the old file stays."""
    data = strict_json.dump(
        {
            "roots": [root.decode() for root in held.roots],
            **{name: getattr(held, name).decode() for name in _PARTS},
        }
    )
    durable.replace(directory / FILE, data)


def _parse(data: bytes) -> Held:
    value = strict_json.parse(data, _refuse, limit=_LIMIT)
    texts = [strict_json.member(value, name, str, _refuse).encode() for name in _PARTS]
    roots = strict_json.strings(value, "roots", _refuse)
    if not roots:
        raise _refuse("it has no root")
    return Held(tuple(root.encode() for root in roots), *texts)


_refuse: Final = PolicyRefused.of("trust_metadata_malformed", f"trust/{FILE}")
