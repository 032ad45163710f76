"""The runtime: a small root directory with glibc, Python and openssl, from Debian packages.

Rules: the layout is Debian's with merged /usr, so that the program interpreter of every binary is
found both below `RootDirectory=` and by the launcher, which names the loader itself. Unneeded files
are left out by name; every library that a binary needs must be in the tree (`check`).
"""

import gzip
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from installer.bundle import debs
from installer.bundle.elf import read_dynamic
from installer.bundle.llama_recipe import SOURCE_DATE_EPOCH
from installer.bundle.steps import BundleError

LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
STDLIB: Final = "usr/lib/python3.13"
SITE: Final = "usr/lib/python3/dist-packages"
_LINKS: Final = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
_MOUNT_POINTS: Final = ("dev", "etc", "proc", "run", "sys", "tmp", "var/lib", "var/tmp")
_KEPT: Final = (
    f"{LIBRARIES}/*.so*", "usr/lib64/*", f"{STDLIB}/*", "usr/bin/python3.13", "usr/bin/openssl",
)  # fmt: skip
_DROPPED: Final = (
    "*/__pycache__/*", "*/test/*", "*/tests/*", "*/idlelib/*", "*/ensurepip/*", "*/tkinter/*",
    "*/turtledemo/*", "*/pydoc_data/*",
    "*/sitecustomize.py", "*/config-3*/*", "*/gconv/*", "*/engines-3/*", "*/audit/*",
    f"{STDLIB}/lib-dynload/_dbm.*", f"{STDLIB}/lib-dynload/readline.*",
    f"{STDLIB}/lib-dynload/_curses*", f"{STDLIB}/lib-dynload/*test*",
    f"{LIBRARIES}/libc_malloc_debug.so*", f"{LIBRARIES}/libmemusage.so",
    f"{LIBRARIES}/libpcprofile.so",
)  # fmt: skip
"""Patterns of fnmatch: an asterisk also stands for slashes."""
LAUNCHER: Final = """\
#!/bin/sh
# Runs the Python of this directory with its own glibc on any host; below RootDirectory= the
# binary beside it is run directly.
root=${0%/usr/bin/python}
unset LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GGML_BACKEND_PATH
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --inhibit-cache \\
  --library-path "$root/usr/lib/x86_64-linux-gnu" --argv0 "$root/usr/bin/python" \\
  "$root/usr/bin/python3.13" "$@"
"""


def build(packages: Sequence[Path], root: Path) -> None:
    """Make the runtime in the new directory `root`."""
    whole = root.with_name(root.name + ".whole")
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir(parents=True)
    for package in packages:
        debs.unpack(package, whole)
    root.mkdir()
    for target in sorted(_files(whole)):
        destination = root / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(whole / target, destination, follow_symlinks=False)
    shutil.rmtree(whole)
    for name in (*_MOUNT_POINTS, SITE):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, to in _LINKS.items():
        (root / to).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(to)
    launcher = root / "usr" / "bin" / "python"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    _set_modes(root)
    check(root)


def check(root: Path) -> None:
    """Refuse a runtime that lacks a needed library."""
    there = {path.name for path in (root / LIBRARIES).iterdir()}
    there |= {path.name for path in (root / "usr/lib64").iterdir()}
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if data[:4] != b"\x7fELF":
            continue
        missing = set(read_dynamic(data).needed) - there
        if missing:
            raise BundleError(f"{path.relative_to(root)} needs {sorted(missing)}")


def pack(root: Path, target: Path) -> None:
    """Write a tar.gz archive that depends on contents only."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(root.rglob("*"), key=lambda p: os.fsencode(p.relative_to(root))):
            info = archive.gettarinfo(path, str(path.relative_to(root)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = SOURCE_DATE_EPOCH
            if info.islnk():  # a second name of one file: its bytes, not a link
                info.type, info.linkname = tarfile.REGTYPE, ""
                info.size = path.stat().st_size
            body = path.read_bytes() if info.isreg() else None
            archive.addfile(info, io.BytesIO(body) if body is not None else None)


def licences(root: Path, packages: Sequence[Path], target: Path) -> None:
    """Copy the copyright file of every package, which must have one, to `target/debian/NAME`."""
    target.mkdir(parents=True, exist_ok=True)
    whole = root / "copyrights"
    for name, package in zip(debs.PACKAGES, packages, strict=True):
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir(parents=True)
        debs.unpack(package, whole)
        found = [p for p in whole.glob("usr/share/doc/*/copyright") if not p.is_symlink()]
        linked = whole / "usr/share/doc" / name
        if found:
            shutil.copyfile(found[0], target / name)
        elif linked.is_symlink() and linked.readlink().name in debs.PACKAGES:
            (target / name).write_text(f"See {linked.readlink().name}.\n")
        else:
            raise BundleError(f"{name} brings no copyright file")
    shutil.rmtree(whole)


def _files(whole: Path) -> Iterator[Path]:
    for path in whole.rglob("*"):
        name = str(path.relative_to(whole))
        if path.is_dir() and not path.is_symlink():
            continue
        if any(fnmatchcase(name, kept) for kept in _KEPT) and not any(
            fnmatchcase(name, dropped) for dropped in _DROPPED
        ):
            yield path.relative_to(whole)


def _set_modes(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
