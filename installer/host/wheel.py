"""Unpacks a wheel into the directory that Python imports from.

Rules: the caller has checked the digest of the whole file; every member must be in RECORD with its
digest, and no scripts, headers or files that run at the start of Python are made. pip would write
paths of the host into scripts and RECORD, so that the tree could not be compared with the signed
listing. Format: PyPA, "Binary distribution format" and "Recording installed projects".
"""

import base64
import csv
import hashlib
import io
import os
import zipfile
from pathlib import Path, PurePosixPath

from installer.host.problems import InstallError

_DATA = ("purelib", "platlib")


def unpack(wheel: Path, site: Path, name: str) -> None:
    """The file `wheel` may have another name than its own, `name` (`manifest_invalid`)."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            _unpack(archive, site, name)
    except (zipfile.BadZipFile, KeyError, ValueError, UnicodeDecodeError) as error:
        raise InstallError("manifest_invalid", f"{name}: {error}") from error


def _unpack(archive: zipfile.ZipFile, site: Path, name: str) -> None:
    stem = "-".join(name.split("-")[:2])
    record = f"{stem}.dist-info/RECORD"
    rows = csv.reader(io.StringIO(archive.read(record).decode()))
    digests = {row[0]: row[1] for row in rows if row}
    for member in archive.infolist():
        path = member.filename
        if member.is_dir():
            continue
        data = archive.read(member)
        if (
            path != record
            and not path.endswith((".jws", ".p7s"))
            and digests.get(path) != _b64(data)
        ):
            raise ValueError(f"{path} is not what RECORD says")
        target = _target(PurePosixPath(path), f"{stem}.data")
        if target is None:
            continue
        whole = site / target
        whole.parent.mkdir(parents=True, exist_ok=True)
        if whole.is_file() and whole.read_bytes() == data:
            continue  # packages that share a name space share its first file
        if os.path.lexists(whole):
            raise ValueError(f"{path} would replace a file of another wheel")
        whole.write_bytes(data)
        whole.chmod(0o755 if member.external_attr >> 16 & 0o100 else 0o644)


def _target(path: PurePosixPath, data: str) -> PurePosixPath | None:
    if path.is_absolute() or ".." in path.parts or "\\" in str(path):
        raise ValueError(f"{path} leads out of the directory")
    if path.suffix.lower() == ".pth":
        raise ValueError(f"{path} would run at every start of Python")
    if path.parts[0] != data:
        return path
    return PurePosixPath(*path.parts[2:]) if path.parts[1] in _DATA else None


def _b64(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
