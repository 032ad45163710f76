"""The releases on this host, which one is in service, and the database as it was before.

Rules: `current` is a link that one rename moves; the database is copied only while nothing holds
it, and put back only when a newer release changed its schema; the audit log is never touched.
"""

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from installer.host import manifest, tree, units
from installer.host.answers import Answers, Layout, decode
from installer.host.files import point_link, remove, sync_directory, sync_tree
from installer.host.ledger import Ledger
from installer.host.manifest import Manifest
from installer.host.problems import InstallError

DATABASE: Final = ("appliance.db", "appliance.db-wal")
_MOUNTED: Final = frozenset(
    {"etc/group", "etc/hosts", "etc/localtime", "etc/passwd", "home", "root"}
)
_RELATIVE: Final = "releases"


def current(layout: Layout) -> str | None:
    """The release in service; None if there is none."""
    try:
        return layout.current.readlink().name
    except OSError:
        return None


def switch(layout: Layout, release: str | None) -> None:
    """Put another release in service by one rename, or none."""
    if release is not None:
        point_link(layout.current, f"{_RELATIVE}/{release}")
    elif layout.current.is_symlink():
        layout.current.unlink()
        sync_directory(layout.prefix)


def describe(layout: Layout, release: str) -> tuple[Manifest, Answers]:
    """The manifest and the answers of an installed release.

    Raises:
        InstallError: `release_changed` when its files are not readable.
    """
    where = layout.release(release)
    try:
        document = manifest.parse((where / "manifest.json").read_bytes())
        return document, decode((where / "answers.json").read_bytes())
    except OSError as error:
        raise InstallError("release_changed", f"{where}: {error.strerror}.") from error
    except InstallError as error:
        raise InstallError("release_changed", f"{where}: {error.message}") from error


def check(layout: Layout, release: str) -> None:
    """Compare the files of a release with its signed listing.

    Raises:
        InstallError: `release_changed`.
    """
    where = layout.release(release)
    document, _ = describe(layout, release)
    try:
        wanted = (where / "tree.list").read_text()
    except OSError as error:
        raise InstallError("release_changed", f"{where}: {error.strerror}.") from error
    base = (where / "base.list").read_text() if (where / "base.list").is_file() else wanted
    if tree.digest(base) != document.tree.sha256:
        raise InstallError("release_changed", f"{where}/tree.list is not the signed one.")
    tree.check(where / "root", wanted, "release_changed", empty=_mounted_onto(layout))


def _mounted_onto(layout: Layout) -> set[str]:
    """What systemd makes in the tree of a release for the unit's paths of the host."""
    places = [path.relative_to("/") for path in (layout.data, layout.tuning)]
    above = {str(path) for place in places for path in place.parents}
    return {*_MOUNTED, *units.MOUNTED, *map(str, places), *above}


def newest_counter(layout: Layout, ledger: Ledger) -> int:
    """The highest counter that was ever committed on this host; 0 if none was."""
    counters = [int(event.facts.get("counter", 0)) for event in ledger.committed()]
    release = current(layout)
    if release is not None:
        counters.append(describe(layout, release)[0].counter)
    return max(counters, default=0)


def before(ledger: Ledger, release: str) -> str | None:
    """The release that was in service before this one was committed the last time."""
    for event in reversed(ledger.committed()):
        previous = event.facts.get("previous")
        if event.facts.get("release") == release and previous not in (None, release):
            return str(previous)
    return None


def snapshot(layout: Layout, release: str) -> int:
    """Copy the database before `release` may change it; the version of its schema."""
    target = layout.snapshots / release
    part = target.with_name(target.name + ".part")
    remove(part)
    part.mkdir(parents=True, mode=0o700)
    for name in DATABASE:
        if (layout.data / name).is_file():
            shutil.copy2(layout.data / name, part / name)
            owner = (layout.data / name).stat()
            os.chown(part / name, owner.st_uid, owner.st_gid)
    sync_tree(part)
    remove(target)
    part.rename(target)
    sync_directory(layout.snapshots)
    return schema(target)


def schema(directory: Path) -> int:
    """The version of the schema of the database in a directory, read from a copy."""
    path = directory / DATABASE[0]
    if not path.is_file():
        return 0
    copy = directory / "schema"
    remove(copy)
    copy.mkdir(mode=0o700)
    try:
        for name in DATABASE:
            if (directory / name).is_file():
                shutil.copyfile(directory / name, copy / name)
        connection = sqlite3.connect(copy / DATABASE[0])
        try:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InstallError("data_unusable", f"{path}: {error}.") from error
    finally:
        remove(copy)


def changed(layout: Layout, release: str) -> bool:
    """Whether the schema is another than in the snapshot taken before this release."""
    taken = layout.snapshots / release
    return taken.is_dir() and schema(taken) != schema(layout.data)


def put_back(layout: Layout, release: str) -> None:
    """Put the database of before this release back; safe to repeat until it is done."""
    taken = layout.snapshots / release
    for name in reversed(DATABASE):  # the log of writes first: it belongs to the newer file
        remove(layout.data / f"{name}-shm" if name == DATABASE[0] else layout.data / name)
    for name in reversed(DATABASE):
        if (taken / name).is_file():
            part = layout.data / f"{name}.part"
            remove(part)
            try:
                shutil.copy2(taken / name, part)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                remove(part)
                os.link(taken / name, part)  # no room for a copy: the snapshot itself goes back
            owner = (taken / name).stat()
            os.chown(part, owner.st_uid, owner.st_gid)
            part.replace(layout.data / name)
    sync_tree(layout.data)


def prune(layout: Layout, keep: set[str | None]) -> None:
    """Remove releases and snapshots that are neither in service nor the one before."""
    for folder in (layout.releases, layout.snapshots):
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.name not in keep:
                remove(path)
