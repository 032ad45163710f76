"""Backup of everything that is the site's: data, pinned key, answers; restore; and a drill.

Rules: the server is stopped meanwhile; the archive is read back before it counts; restoring never
overwrites a data directory. A drill restores into another directory, verifies the audit log there
with the product's own command, and removes it. The archive is readable by its owner only; a site's
is encrypted to its officers and never lies in plain. It leaves out only weights of models that a
stick brings again.
"""

import datetime
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from installer.host import releases
from installer.host.answers import Answers, Layout
from installer.host.files import (
    explained,
    hash_file,
    hash_stream,
    remove,
    sync_directory,
    sync_tree,
)
from installer.host.problems import InstallError
from installer.host.product import Product, product
from installer.host.service import Service

_INDEX: Final = "backup.json"
_NOTES: Final = "backups.json"
_KEPT_NOTES: Final = 100
_SKIPPED: Final = frozenset({"lock", "run/admin.sock", "audit/ballast"})
_USED: Final = frozenset({"verified", "approved", "serving", "suspended", "missing"})
"""States of models that have files, or should."""
_WEIGHTS: Final = frozenset({"generate", "embed", "rerank"})
"""Kinds of artifacts that are large and come from elsewhere; the others are small or made here."""
_SEALED: Final = b"appliance sealed backup"
"""Begins an archive that is encrypted."""
_COPY: Final = ".part"
"""Ends the name of a copy that an import did not finish."""

Left = list[dict[str, str]]
"""Models without files: the id and the digest of each."""


@dataclass(frozen=True)
class Opening:
    """An officer's private key, as `--key` takes it, and its secret's place: absolute paths."""

    key: str = ""
    passphrase_file: str = ""

    def words(self) -> list[str]:
        """The options of the product's command, which has another working directory."""
        secret = ["--passphrase-file", self.passphrase_file] if self.passphrase_file else []
        return ["--key", self.key, *secret]


_NONE: Final = Opening()


def backup(
    layout: Layout, answers: Answers, service: Service, target: Path, *, models: bool
) -> dict[str, Any]:
    """Write a backup.

    Args:
        service: stopped meanwhile, started again if it ran.

    Returns:
        Release, number of files and bytes; `encrypted`: whether only officers open it;
        `left_out`: the models that are not in it.

    Raises:
        InstallError: `not_installed`, `backup_exists`, `service_running`, `disk_full`.
    """
    release = releases.current(layout)
    if release is None or not (layout.data / "appliance.toml").is_file():
        raise InstallError("not_installed", f"{layout.data} is not initialised.")
    if target.exists():
        raise InstallError("backup_exists", f"{target} is there already.")
    part = target.with_name(target.name + ".part")
    remove(part)
    skipped, left = _left_out(layout, answers, release, models)
    ran = service.stop()
    try:
        with explained(target):
            encrypted = (layout.data / "trust" / "metadata.json").is_file()
            writer = product(layout, answers, release) if encrypted else None
            index = _write(layout, part, _index(layout, release, skipped, left), skipped, writer)
    except BaseException:
        remove(part)
        raise
    finally:
        if ran:
            service.start()
    if not encrypted:
        read(part)
    part.rename(target)
    sync_directory(target.parent)
    size, files = target.stat().st_size, len(index["files"])
    _note(layout, answers, layout.data, target, index)
    told = {"release": release, "files": files, "bytes": size, "left_out": left}
    return {**told, "encrypted": encrypted}


def read(path: Path) -> dict[str, Any]:
    """To the last byte; its index (`backup_invalid`)."""
    with path.open("rb") as file, _understood(path), tarfile.open(fileobj=file) as archive:
        members = iter(archive)
        index = _index_of(archive, next(members))
        found = {}
        for member in members:
            body = archive.extractfile(member) if member.isreg() else None
            if body is not None:
                found[member.name] = hash_stream(body)[0]
        _same(found, index)
        return index


def restore(
    layout: Layout,
    answers: Answers,
    path: Path,
    *,
    data: Path | None = None,
    opening: Opening = _NONE,
) -> dict[str, Any]:
    """Put the data of a backup back, next to its place first and then by one rename.

    Args:
        data: another place, for a drill.

    Raises:
        InstallError: `backup_invalid`, `backup_sealed`, `data_present`, `disk_full`.
    """
    target = data or layout.data
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InstallError("data_present", f"{target} is there.")
    part = target.with_name(target.name + ".part")
    remove(part)
    with explained(part):
        part.mkdir(mode=0o750, parents=True)
        try:
            with _archive(layout, answers, path, opening) as archive, _understood(path):
                index = _unpack(archive, part)
            if not layout.user:
                shutil.chown(part, answers.account, answers.operators)
            _note(layout, answers, part, path, index)
            sync_tree(part)
            if target.is_dir():
                target.rmdir()
            part.rename(target)
            sync_directory(target.parent)
        except BaseException:
            remove(part)
            raise
    return index


@contextmanager
def _archive(layout: Layout, answers: Answers, path: Path, opening: Opening) -> Iterator[IO[bytes]]:
    """The plain archive of a backup, as a stream that is read once."""
    with _understood(path), path.open("rb", buffering=0) as file:
        sealed = file.read(len(_SEALED)) == _SEALED
        file.seek(0)
        if not sealed:
            yield file
            return
        release = releases.current(layout)
        if release is None or not opening.key:
            raise InstallError("backup_sealed", f"{path} is encrypted to the officers.")
        whoever = replace(product(layout, answers, release), account=None)  # the key is theirs
        words = ("protect", "decrypt", *opening.words())
        try:
            with whoever.filtering(*words, source=file, target=subprocess.PIPE) as process:
                wrong: InstallError | None = None
                try:
                    yield process.stdout  # type: ignore[misc]  # it was asked for
                except InstallError as error:
                    wrong = error
                while process.stdout.read(1 << 20):  # type: ignore[union-attr]
                    pass  # to its end, which says whether all of it was true
                if process.wait() == 0 and wrong is not None:
                    raise wrong
        except InstallError as error:
            if error.code != "step_failed":
                raise
            raise InstallError("backup_sealed", f"{path} does not open.") from error


def _unpack(stream: IO[bytes], part: Path) -> dict[str, Any]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        members = iter(archive)
        index = _index_of(archive, next(members))
        archive.extractall(part, members=_below_data(members), filter="tar")
    plain = (p for p in part.rglob("*") if p.is_file() and not p.is_symlink())
    _same({f"data/{p.relative_to(part)}": hash_file(p)[0] for p in plain}, index)
    return index


def _index_of(archive: tarfile.TarFile, first: tarfile.TarInfo) -> dict[str, Any]:
    body = archive.extractfile(first)
    if first.name != _INDEX or body is None:
        raise ValueError("it does not begin with its index")
    index: dict[str, Any] = json.loads(body.read())
    return index


def _same(found: dict[str, str], index: dict[str, Any]) -> None:
    if found != index["files"]:
        raise ValueError(f"{len(found.items() ^ index['files'].items())} files differ")


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turn an archive's problems into `backup_invalid`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError, tarfile.TarError, StopIteration) as error:
        raise InstallError("backup_invalid", f"{path}: {str(error) or 'it is empty'}.") from error


def to_bring(layout: Layout, answers: Answers, index: dict[str, Any], data: Path) -> Left:
    """The models to bring, by the product; where none is installed, by the backup's index."""
    release = releases.current(layout)
    try:
        if release is not None:
            listed = product(layout, answers, release, data).run("model", "list")["models"]
            return _named(model for model in listed if model["state"] == "missing")
    except (InstallError, KeyError):
        pass
    return _named(index.get("left_out", []))


def drill(layout: Layout, answers: Answers, path: Path, opening: Opening = _NONE) -> dict[str, Any]:
    """Restore a backup into another directory, verify its audit log, remove the directory.

    Raises:
        InstallError: `backup_invalid` when it cannot be restored or its log does not verify;
            `backup_sealed`.
    """
    release = releases.current(layout)
    if release is None:
        raise InstallError("not_installed", "A drill runs the installed product.")
    place = layout.data.with_name(layout.data.name + ".drill")
    remove(place)
    try:
        index = restore(layout, answers, path, data=place, opening=opening)
        found = product(layout, answers, release, place).run("audit", "verify")
        if found.get("ok") is not True:
            raise InstallError("backup_invalid", f"{path}: its audit log does not verify.")
        bring = to_bring(layout, answers, index, place)
    except InstallError as error:
        if error.code == "step_failed":
            raise InstallError("backup_invalid", error.message) from error
        raise
    finally:
        remove(place)
    facts = {"entries": found["entries"], "root": found.get("root"), "bring": bring}
    return {"release": index["release"], **facts}


def _note(
    layout: Layout, answers: Answers, data: Path, archive: Path, index: dict[str, Any]
) -> None:
    """Note a backup in a data directory, where the product warns when it is too old."""
    if "made" not in index:  # of an older release
        return
    path = data / _NOTES
    try:
        known = list(json.loads(path.read_text(encoding="utf-8"))["backups"])
    except (OSError, ValueError, KeyError, TypeError):
        known = []
    size = archive.stat().st_size
    noted = {"time": index["made"], "release": index["release"], "bytes": size}
    known.append({"file": archive.name, **noted})
    part = path.with_name(path.name + ".part")
    with explained(part):
        part.write_text(json.dumps({"backups": known[-_KEPT_NOTES:]}), encoding="utf-8")
        if not layout.user:
            shutil.chown(part, answers.account, answers.operators)
        part.chmod(0o640)
        part.replace(path)


def _left_out(
    layout: Layout, answers: Answers, release: str, models: bool
) -> tuple[frozenset[str], Left]:
    """Names in `models/` that do not go into a backup, and the models that a restore lacks."""
    try:
        listed = product(layout, answers, release).run("model", "list")["models"]
    except (InstallError, KeyError):
        return frozenset(), []
    out = [m for m in listed if not models and m.get("kind") in _WEIGHTS]
    lacks = [m for m in listed if m["state"] == "missing" or (m in out and m["state"] in _USED)]
    return frozenset(str(m["id"]) for m in out), _named(lacks)


def _named(models: Iterable[dict[str, Any]]) -> Left:
    return [{"id": str(m["id"]), "digest": str(m.get("digest") or "")} for m in models]


def _index(layout: Layout, release: str, skipped: frozenset[str], left: Left) -> dict[str, Any]:
    digests = {
        f"data/{path.relative_to(layout.data)}": hash_file(path)[0]
        for path in _files(layout.data, skipped)
        if path.is_file()
    }
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"format": 1, "made": made, "release": release, "files": digests, "left_out": left}


def _write(
    layout: Layout, part: Path, index: dict[str, Any], skipped: frozenset[str], by: Product | None
) -> dict[str, Any]:
    """Write an archive; its index. `by` encrypts it to the officers."""
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb+") as file:
        if by is None:
            _pack(layout, file, index, skipped)
        else:
            words = ("protect", "encrypt", "--data", str(layout.data))
            with (
                by.filtering(*words, source=subprocess.PIPE, target=file) as process,
                process.stdin as pipe,  # type: ignore[union-attr]  # it was asked for
            ):
                _pack(layout, pipe, index, skipped)
        file.flush()
        os.fsync(file.fileno())
    return index


def _pack(
    layout: Layout, target: IO[bytes], index: dict[str, Any], skipped: frozenset[str]
) -> None:
    said = json.dumps(index, sort_keys=True).encode()
    with tarfile.open(fileobj=target, mode="w|") as archive:
        info = tarfile.TarInfo(_INDEX)
        info.size, info.mode = len(said), 0o600
        archive.addfile(info, io.BytesIO(said))
        for path in _files(layout.data, skipped):
            archive.add(path, f"data/{path.relative_to(layout.data)}", recursive=False)


def _files(data: Path, skipped: frozenset[str]) -> Iterator[Path]:
    for path in sorted(data.rglob("*")):
        place = path.relative_to(data)
        stored = place.parts[1] if place.parts[0] == "models" and len(place.parts) > 1 else ""
        gone = stored in skipped or stored.endswith(_COPY) or str(place) in _SKIPPED
        if not gone and not path.is_symlink() and (path.is_dir() or path.is_file()):
            yield path


def _below_data(members: Iterator[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    for member in members:
        if not member.name.startswith("data/"):
            raise ValueError(f"{member.name} is not below data")
        yield member.replace(name=member.name.removeprefix("data/"), deep=False)
