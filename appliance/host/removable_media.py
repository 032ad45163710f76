"""Places where somebody may have brought artifacts: mounted sticks, and directories they name.

Rules: only directories are opened; no link is followed; depth and number are bounded; an unreadable
place has none. Names are carried as they are found.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BESIDE: Final = ("/media", "/run/media", "/mnt")
_PORTABLE: Final = frozenset({"vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "iso9660", "udf"})
_DEPTH, _MOST = 3, 200


@dataclass(frozen=True)
class FoundArtifact:
    """A directory with a model file; `signed` means only that a `model.sig` is there."""

    path: str
    name: str
    files: int
    bytes: int
    signed: bool


@dataclass(frozen=True)
class MediaPlace:
    """A mount point or a directory; sizes in bytes, 0 where unknown."""

    path: str
    device: str
    filesystem: str
    total: int
    free: int
    artifacts: tuple[FoundArtifact, ...]


def places(named: tuple[Path, ...] = (), mountinfo: str | None = None) -> list[MediaPlace]:
    """The named directories, then every stick.

    Args:
        mountinfo: text of `/proc/self/mountinfo`; by default it is read.
    """
    if mountinfo is None:
        mountinfo = _read(Path("/proc/self/mountinfo"))
    found = [_place(path.absolute(), "", "") for path in named]
    found += [_place(Path(where), device, kind) for where, device, kind in sticks(mountinfo)]
    return found


def sticks(mountinfo: str) -> list[tuple[str, str, str]]:
    """Mount point, device and file system of portable media: by their kind or place.

    Source: proc_pid_mountinfo(5).
    """
    found = {}
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if not dash or len(before) < 5 or len(after) < 2:
            continue
        where, kind, device = _unescaped(before[4]), after[0], _unescaped(after[1])
        beside = any(where.startswith(f"{top}/") or where == "/mnt" == top for top in _BESIDE)
        if (kind in _PORTABLE and not where.startswith("/boot")) or beside:
            found[where] = (where, device, kind)
    return sorted(found.values())


def _place(path: Path, device: str, kind: str) -> MediaPlace:
    try:
        space = os.statvfs(path)
        total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    except OSError:
        total = free = 0
    return MediaPlace(str(path), device, kind, total, free, tuple(_artifacts(path)))


def _artifacts(top: Path) -> Iterator[FoundArtifact]:
    level, seen = [top], 0
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for directory in level:
            seen += 1
            if seen > _MOST:
                return
            files, directories = _listed(directory)
            if any(name.lower().endswith(".gguf") for name in files):
                yield FoundArtifact(
                    path=str(directory),
                    name=directory.name,
                    files=len(files),
                    bytes=sum(files.values()),
                    signed="model.sig" in files,
                )
            else:
                below += [directory / name for name in directories]
        level = below


def _listed(directory: Path) -> tuple[dict[str, int], list[str]]:
    files, directories = {}, []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(mode.st_mode):
                    files[entry.name] = mode.st_size
                elif stat.S_ISDIR(mode.st_mode) and not entry.name.startswith("."):
                    directories.append(entry.name)
    except OSError:
        return {}, []
    return files, sorted(directories)


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
