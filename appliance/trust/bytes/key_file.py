"""Private keys in files: made, opened, encrypted.

Rules: PKCS #8 in PEM under a passphrase, mode 0600; a plain key is overwritten when it is
encrypted.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.trust.bytes import durable, ecdsa

MIN_PASSPHRASE: Final = 12


def check(passphrase: str) -> str:
    """Return a passphrase. Raises Refused (`passphrase_refused`) for a short one."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise Refused(
            "passphrase_refused", f"A passphrase takes at least {MIN_PASSPHRASE} characters."
        )
    return passphrase


def new(path: Path, passphrase: str) -> bytes:
    """Make a P-384 key in a new file; its public key, PEM. Raises FileExistsError."""
    key = ec.generate_private_key(ec.SECP384R1())
    durable.create(path, ecdsa.private_pem(key, check(passphrase)))
    return ecdsa.public_pem(key.public_key())


def read(path: Path, ask: Callable[[], str]) -> ecdsa.PrivateKey:
    """The key of a file; `ask` gives its passphrase, if it takes one."""
    pem = path.read_bytes()
    return ecdsa.load_private(pem, ask() if ecdsa.is_encrypted(pem) else None)


def encrypt(path: Path, key: ecdsa.PrivateKey, passphrase: str) -> None:
    """Encrypt a key in the file that it was read from."""
    pem = ecdsa.private_pem(key, check(passphrase))
    with path.open("rb+") as old:
        durable.replace(path, pem)
        old.write(bytes(os.fstat(old.fileno()).st_size))
        old.flush()
        os.fsync(old.fileno())
