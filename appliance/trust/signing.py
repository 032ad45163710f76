"""Signing and verifying a directory: no data directory, no policy, keys in hand.

Rules: the private key stays in the caller's process; `model.sig` appears whole or not at all;
a directory is signed only if it could be verified.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused
from appliance.trust import directory, ecdsa, names, oms, sealed
from appliance.trust.sealed import Progress

_PART: Final = "model.sig.part"


def sign_directory(path: Path, private_key_pem: bytes, progress: Progress) -> bytes:
    """Hash every file of an artifact and write `model.sig`, replacing an older one.

    Returns:
        The bytes of `model.sig`.

    Raises:
        SignatureRefused: `signature_key_unsupported`, or what `directory.open_artifact` and
            `oms.sign` raise; `artifact_unreadable` when it cannot be written.
    """
    key = ecdsa.load_private(private_key_pem)
    (path / _PART).unlink(missing_ok=True)  # left by a signer that was killed
    with directory.open_artifact(path) as artifact:
        files = artifact.covered
        meter = directory.Meter(progress, "hashing", sum(files.values()))
        digests = directory.hash_files(artifact, files, meter)
        data = oms.sign(digests, key, path.absolute().name)
        try:
            _write(artifact.fd, data)
        except OSError as error:
            raise SignatureRefused(
                "artifact_unreadable", f"model.sig cannot be written: {error.strerror}."
            ) from error
    return data


def _write(directory_fd: int, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    part = os.open(_PART, flags, 0o644, dir_fd=directory_fd)
    try:
        try:
            sealed.write_all(part, memoryview(data))
            os.fsync(part)
        finally:
            os.close(part)
        os.rename(_PART, names.SIGNATURE_FILE, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        os.fsync(directory_fd)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_PART, dir_fd=directory_fd)
        raise


def verify_directory(path: Path, keys: Sequence[bytes], progress: Progress) -> oms.Manifest:
    """Verify an artifact against public keys.

    Args:
        keys: PEM; one of them must have signed.

    Raises:
        SignatureRefused: with the code of the check that failed.
    """
    public = {ecdsa.hint(key): key for key in map(ecdsa.load_public, keys)}
    with directory.open_artifact(path) as artifact:
        manifest = oms.verify(oms.parse_bundle(artifact.signature()), public)
        files = artifact.covered
        oms.compare_names(manifest, files.keys())
        meter = directory.Meter(progress, "hashing", sum(files.values()))
        oms.compare(manifest, directory.hash_files(artifact, files, meter))
    return manifest
