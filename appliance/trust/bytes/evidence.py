"""The evidence key: with it this appliance signs what it measured.

Rules: P-384, made on this machine, mode 0600, under the host key where there is one; only backups
carry it. It counts once a trust policy lists it in the role `evaluator`. The next key waits beside
it until a policy lists that one; old statements hold while the policy lists the old key, too.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import StateRefused
from appliance.host import host_key
from appliance.trust.bytes import ecdsa

NAME: Final = "evidence"


def path(data: Path) -> Path:
    """The file of the private key."""
    return data / "keys" / f"{NAME}.pem"


def next_path(data: Path) -> Path:
    """The file of the private key that follows."""
    return data / "keys" / f"{NAME}.next.pem"


def following(data: Path) -> ecdsa.PrivateKey | None:
    """The key that waits, if one does."""
    return ensure(data, place=next_path(data)) if next_path(data).exists() else None


def advance(data: Path) -> None:
    """Replace the present key by the next one; the present one is gone."""
    host_key.replace(path(data), next_path(data).read_bytes())
    next_path(data).unlink()


def ensure(data: Path, mark: bytes = b"", place: Path | None = None) -> ecdsa.PrivateKey:
    """The evidence key of a data directory; made where there is none (`evidence_key_unusable`).

    Args:
        mark: written before the PEM of a new key.
        place: file of the key; None is `path`.
    """
    file = place or path(data)
    try:
        if file.exists():
            return ecdsa.load_private(host_key.read(file))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP384R1())
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(host_key.sealed(file, mark + ecdsa.private_pem(key)))
            out.flush()
            os.fsync(out.fileno())
        part.rename(file)
    except OSError as error:
        message = f"{file.name} cannot be read or made: {error.strerror}."
        raise StateRefused("evidence_key_unusable", message) from error
    return key
