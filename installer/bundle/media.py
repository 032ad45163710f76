"""Writes a bundle: chunks, manifest, list of digests, signature, boot files.

Rules: plain names, no links and no execute bits (the stick may be FAT); the list has every file but
itself and its signature; the same inputs give the same bytes, the signature of a key in a file too
(the nonce of RFC 6979, in OpenSSL from 3.2 on). The complete directory appears by one rename.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from installer.bundle.cache import sha256_file
from installer.bundle.steps import BundleError
from installer.host import manifest, signature
from installer.host.files import BLOCK
from installer.host.manifest import Chunk, Manifest, Part
from installer.host.problems import InstallError

RUNTIME: Final = "runtime.tar.gz"
INSTALLER: Final = "install.pyz"
_WHOLE: Final = {"runtime": RUNTIME, "installer": INSTALLER}
"""Parts that the first steps on the host need: they keep their names and are one file."""


@dataclass(frozen=True)
class Source:
    """One file that goes onto the stick."""

    name: str
    kind: str
    path: Path
    when: str = ""


def write(
    out: Path,
    sources: Sequence[Source],
    describe: Callable[[tuple[Part, ...]], Manifest],
    texts: Mapping[str, bytes],
    key: Path,
    *,
    openssl: Sequence[str] = ("openssl",),
    chunk: int = manifest.CHUNK,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Write the bundle to the directory `out`, replacing an earlier one.

    Args:
        describe: makes the manifest of the parts.
        texts: further files by their path on the stick: `install.sh`, README, licences, SBOM.
        chunk: bytes of the largest file.
        progress: gets one line for each part.
    """
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "blobs").mkdir(parents=True)
    parts = []
    for source in sources:
        parts.append(_write_part(part, source, chunk))
        progress(f"{parts[-1].size / 1e6:8.1f} MB  {source.kind:9} {source.name}")
    document = manifest.encode(describe(tuple(parts)))
    _file(part / "manifest.json", document)
    for name, data in texts.items():
        _file(part / name, data)
    try:
        parsed = manifest.parse(document)
    except InstallError as error:
        raise BundleError(error.message) from error
    finish(part, out, key, openssl)
    return parsed


def finish(part: Path, out: Path, key: Path, openssl: Sequence[str] = ("openssl",)) -> None:
    """Write the vendor's key, the list of all files and its signature, and rename `part` to `out`.

    Two files of one name on FAT are refused.
    """
    public = part / signature.KEY
    if on_token(key):
        _asking("show", str(key), "--public", str(public))
    else:
        _run((*openssl, "pkey", "-in", str(key), "-pubout", "-out", str(public)))
    print_of = signature.fingerprint(part / signature.KEY)
    _file(part / "VENDOR-KEY.fingerprint", f"{print_of}  {signature.KEY}\n".encode())
    files = sorted(str(p.relative_to(part)) for p in part.rglob("*") if p.is_file())
    sums = "".join(f"{sha256_file(part / name)}  {name}\n" for name in files)
    _file(part / signature.SUMS, sums.encode())
    _sign(part, key, openssl)
    try:
        manifest.check_names(files)
    except InstallError as error:
        raise BundleError(error.message) from error
    for path in part.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def _write_part(out: Path, source: Source, chunk: int) -> Part:
    digest = sha256_file(source.path)
    fixed = _WHOLE.get(source.kind)
    size = source.path.stat().st_size
    limit = size if fixed else chunk
    chunks: list[Chunk] = []
    with source.path.open("rb") as file:
        while sum(c.size for c in chunks) < size:
            path = fixed or f"blobs/{digest}.{len(chunks):03d}"
            chunks.append(_write_chunk(file, out, path, limit))
    return Part(source.name, source.kind, size, digest, tuple(chunks), source.when)


def _write_chunk(file: BinaryIO, out: Path, path: str, limit: int) -> Chunk:
    digest = hashlib.sha256()
    size = 0
    with (out / path).open("wb") as sink:
        while size < limit and (block := file.read(min(BLOCK, limit - size))):
            digest.update(block)
            sink.write(block)
            size += len(block)
    return Chunk(path, size, digest.hexdigest())


def _sign(part: Path, key: Path, openssl: Sequence[str]) -> None:
    sums, target = part / signature.SUMS, part / signature.SIGNATURE
    if on_token(key):
        _asking("sign", str(sums), "--key", str(key), "--out", str(target))
    else:
        sign = ("dgst", "-sha384", "-sign", str(key), "-sigopt", "nonce-type:1")
        _run((*openssl, *sign, "-out", str(target), str(sums)))
    try:
        signature.verify(openssl, part, part / signature.KEY)
    except InstallError as error:
        raise BundleError(f"{key} does not sign: {error.message}") from error


def new_key(path: Path) -> None:
    """Make a vendor's private key: ECDSA, P-384."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    _run((
        *("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        *("-pkeyopt", "ec_param_enc:named_curve", "-out", str(path)),
    ))  # fmt: skip


def _file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def on_token(key: Path) -> bool:
    """True if a key is no file, but a `pkcs11:` URI that `appliance signer` opens."""
    return str(key).startswith("pkcs11:")


def _asking(*words: str) -> None:
    """Run `appliance signer`, which asks for the PIN on the terminal and prints problems."""
    command = (sys.executable, "-m", "appliance", "signer", *words)
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise BundleError(f"The key on the token is of no use: signer {words[0]}.")


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise BundleError(f"{command[0]}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise BundleError(f"{Path(command[0]).name}: {error.stderr.strip()}") from error
