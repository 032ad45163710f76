"""The signature over `MANIFEST.sha256`: ECDSA P-384 with SHA-384, checked by openssl.

openssl is the host's, or that of an installed, trusted release.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from installer.host.files import hash_file
from installer.host.problems import InstallError

SUMS = "MANIFEST.sha256"
SIGNATURE = "MANIFEST.sig"
KEY = "vendor.pub"
FORMER = "vendor.former.{}.pub"
"""A key that was pinned before, by its fingerprint."""


def verify(openssl: Sequence[str], directory: Path, key: Path) -> None:
    """Check the list's signature (`signature_missing`, `signature_invalid`, `openssl_missing`)."""
    for name in (SUMS, SIGNATURE):
        if not (directory / name).is_file():
            raise InstallError("signature_missing", f"{name} is not there.")
    command = [*openssl, "dgst", "-sha384", "-verify", str(key)]
    command += ["-signature", str(directory / SIGNATURE), str(directory / SUMS)]
    try:
        done = subprocess.run(
            command, env={"PATH": "/usr/bin:/bin"}, cwd="/", capture_output=True, check=False
        )
    except OSError as error:
        raise InstallError("openssl_missing", f"{openssl[0]}: {error.strerror}.") from error
    if done.returncode != 0 or done.stdout.strip() != b"Verified OK":
        raise InstallError("signature_invalid", f"{SUMS} is not signed with {key}.")


def verify_installed(openssl: Sequence[str], directory: Path, trust: Path) -> None:
    """As `verify`, for what is installed: keys that were pinned before hold, too."""
    for former in trust.glob(FORMER.format("*")):
        try:
            return verify(openssl, directory, former)
        except InstallError as error:
            if error.code != "signature_invalid":
                raise
    return verify(openssl, directory, trust / KEY)


def fingerprint(key: Path) -> str:
    """The key's fingerprint on the paper: hex SHA-256 of its file."""
    return hash_file(key)[0]
