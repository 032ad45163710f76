"""Signing and verifying a directory: no data directory, no policy, keys in hand.

Rules: the private key stays in the caller's process; `model.sig` appears whole or not at all;
a directory is signed only if it could be verified.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import STATEMENT_FILE, Base
from appliance.trust.bytes import certificate, directory, ecdsa, manifest, names, oms, sealed
from appliance.trust.bytes.directory import FileDigest
from appliance.trust.bytes.manifest import Manifest
from appliance.trust.gguf.gguf import MAX_METADATA
from appliance.trust.gguf.lora import check_shapes, vet_lora
from appliance.types import Report

_PART: Final = ".part"


def sign_directory(
    path: Path,
    private_key: ecdsa.SigningKey | bytes,
    progress: Report,
    *,
    chain_pem: bytes | None = None,
    shard_size: int | None = None,
) -> bytes:
    """Write a new `model.sig`; its bytes.

    Args:
        private_key: opened, or an unencrypted PEM.
        chain_pem: signs by certificate: that of the key first, then its issuers.
        shard_size: bytes of a shard; None hashes files whole.

    Raises:
        SignatureRefused: `manifest_shards` for an empty file in shards; `artifact_unreadable` when
            it cannot be written.
    """
    key = ecdsa.load_private(private_key) if isinstance(private_key, bytes) else private_key
    chain = certificate.load_pem(chain_pem) if chain_pem is not None else ()
    (path / f"{names.SIGNATURE_FILE}{_PART}").unlink(missing_ok=True)  # of a signer that was killed
    with directory.open_artifact(path) as artifact:
        files = artifact.covered
        meter = directory.BlockMeter(progress, "hashing", sum(files.values()))
        digests = directory.hash_files(artifact, files, meter, shard_size)
        name = path.absolute().name
        data = oms.sign(_resources(digests), key, name, shard_size=shard_size, chain=chain)
        _write(artifact.fd, names.SIGNATURE_FILE, data)
    return data


def bind_adapter(path: Path, base: Path, progress: Report) -> Base:
    """Write `adapter.json` into the directory of an adapter, to be signed with it.

    Args:
        path: holds the adapter's GGUF file.
        base: the signed directory of the base, compared with its own manifest; its signer is
            checked at the import.
    """
    with directory.open_artifact(base) as artifact:
        signed = oms.parse_manifest(oms.parse_bundle(artifact.signature()))
        files = artifact.covered
        manifest.compare_names(signed, files.keys())
        meter = directory.BlockMeter(progress, "hashing", sum(files.values()))
        digests = directory.hash_files(artifact, files, meter, signed.shard_size)
        manifest.compare(signed, {name: digest.signed for name, digest in digests.items()})
        gguf = digests[artifacts.model_file_of(files)].sha256
        facts = artifacts.vet_stored(artifact, artifacts.vet_model)
    bound = Base(signed.root, gguf)
    (path / f"{STATEMENT_FILE}{_PART}").unlink(missing_ok=True)
    with directory.open_artifact(path) as artifact:
        name = artifacts.model_file_of(artifact.covered)
        check_shapes(vet_lora(artifact.prefix(name, MAX_METADATA), artifact.sizes[name]), facts)
        _write(artifact.fd, STATEMENT_FILE, bound.statement())
    return bound


def _resources(digests: Mapping[str, FileDigest]) -> list[tuple[str, str]]:
    resources = []
    for name, digest in sorted(digests.items()):
        if digest.shards is None:
            resources.append((name, digest.sha256))
            continue
        if not digest.shards:
            raise SignatureRefused(
                "manifest_shards", f"{name} is empty, and shards cannot cover an empty file."
            )
        resources += [(f"{name}:{s.start}:{s.end}", s.digest) for s in digest.shards]
    return resources


def _write(directory_fd: int, name: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    part = name + _PART
    try:
        fd = os.open(part, flags, 0o644, dir_fd=directory_fd)
        try:
            try:
                sealed.write_all(fd, memoryview(data))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(part, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
            os.fsync(directory_fd)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=directory_fd)
            raise
    except OSError as error:
        raise SignatureRefused(
            "artifact_unreadable", f"{name} cannot be written: {error.strerror}."
        ) from error


def verify_directory(
    path: Path,
    keys: Sequence[bytes],
    progress: Report,
    *,
    roots_pem: bytes | None = None,
    at_us: int = 0,
) -> Manifest:
    """Verify an artifact against public keys or against roots of certificates.

    Args:
        keys: PEM; one of them must have signed, unless a certificate did.
        roots_pem: trust anchors of one that is signed by certificate.
        at_us: when the certificates must be valid, microseconds since the epoch.
    """
    public = {ecdsa.hint(key): key for key in map(ecdsa.load_public, keys)}
    roots = certificate.load_pem(roots_pem) if roots_pem is not None else ()
    with directory.open_artifact(path) as artifact:
        bundle = oms.parse_bundle(artifact.signature())
        if bundle.chain:
            certificate.verify(bundle.chain, roots, at_us)
            public = {bundle.hint: certificate.public_key(bundle.chain[0])}
        found = oms.verify(bundle, public)
        files = artifact.covered
        manifest.compare_names(found, files.keys())
        meter = directory.BlockMeter(progress, "hashing", sum(files.values()))
        digests = directory.hash_files(artifact, files, meter, found.shard_size)
        manifest.compare(found, {name: digest.signed for name, digest in digests.items()})
    return found
