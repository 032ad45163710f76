"""The releases on this host, which one is in service, and the databases as they were before.

Rules: the databases, of the appliance and of each collection, are copied only while nothing holds
them, and put back, all of one moment, only when a newer release changed the schema of one.
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

DATABASE: Final = "appliance.db"
_WRITES: Final = "-wal"
"""The ending of the name of a database's log of writes."""
_HEADER: Final = b"SQLite format 3\0"
_USER_VERSION: Final = slice(60, 64)
"""Where a database has it (the SQLite file format, 1.3)."""
_MOUNTED: Final = frozenset(
    {"etc/group", "etc/hosts", "etc/localtime", "etc/passwd", "home", "root"}
)
_RELATIVE: Final = "releases"


def current(layout: Layout) -> str | None:
    """The release in service, if any."""
    try:
        return layout.current.readlink().name
    except OSError:
        return None


def switch(layout: Layout, release: str | None) -> None:
    """Put another release, or none, in service by one rename."""
    if release is not None:
        point_link(layout.current, f"{_RELATIVE}/{release}")
    elif layout.current.is_symlink():
        layout.current.unlink()
        sync_directory(layout.prefix)


def describe(layout: Layout, release: str) -> tuple[Manifest, Answers]:
    """The manifest and the answers of an installed release (`release_changed`)."""
    where = layout.release(release)
    try:
        document = manifest.parse((where / "manifest.json").read_bytes())
        return document, decode((where / "answers.json").read_bytes())
    except OSError as error:
        raise InstallError("release_changed", f"{where}: {error.strerror}.") from error
    except InstallError as error:
        raise InstallError("release_changed", f"{where}: {error.message}") from error


def check(layout: Layout, release: str) -> None:
    """Compare the files of a release with its signed listing (`release_changed`)."""
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
    """The release in service before this one's last commit."""
    for event in reversed(ledger.committed()):
        previous = event.facts.get("previous")
        if event.facts.get("release") == release and previous not in (None, release):
            return str(previous)
    return None


def databases(directory: Path) -> list[str]:
    """The names of the databases in a directory whose schema a release may change."""
    collections = sorted((directory / "collections").glob("*.db"))
    found = [directory / DATABASE, *collections]
    return [str(path.relative_to(directory)) for path in found if path.is_file()]


def snapshot(layout: Layout, release: str) -> int:
    """Copy the databases before `release` may change them; the schema of the appliance's."""
    target = layout.snapshots / release
    part = target.with_name(target.name + ".part")
    remove(part)
    part.mkdir(parents=True, mode=0o700)
    for name in databases(layout.data):
        for file in (name, name + _WRITES):
            if (layout.data / file).is_file():
                (part / file).parent.mkdir(mode=0o700, exist_ok=True)
                shutil.copy2(layout.data / file, part / file)
                owner = (layout.data / file).stat()
                os.chown(part / file, owner.st_uid, owner.st_gid)
    sync_tree(part)
    remove(target)
    part.rename(target)
    sync_directory(layout.snapshots)
    return schema(target / DATABASE)


def schema(path: Path) -> int:
    """The version of a database's schema; 0 where none is. Nothing next to it is changed."""
    if not path.is_file():
        return 0
    if not path.with_name(path.name + _WRITES).is_file():
        with path.open("rb") as file:
            head = file.read(_USER_VERSION.stop)
        if head and not head.startswith(_HEADER):
            raise InstallError("data_unusable", f"{path} is no database.")
        return int.from_bytes(head[_USER_VERSION], "big")
    copy = path.with_name("schema")
    remove(copy)
    copy.mkdir(mode=0o700)
    try:
        for one in (path.name, path.name + _WRITES):
            shutil.copyfile(path.with_name(one), copy / one)
        connection = sqlite3.connect(copy / path.name)
        try:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InstallError("data_unusable", f"{path}: {error}.") from error
    finally:
        remove(copy)


def changed(layout: Layout, release: str) -> bool:
    """True if a schema differs from the snapshot taken before this release."""
    taken = layout.snapshots / release
    names = {DATABASE, *_still_there(layout, taken)}
    return taken.is_dir() and any(schema(taken / n) != schema(layout.data / n) for n in names)


def put_back(layout: Layout, release: str) -> None:
    """Put its snapshot back; safe to repeat."""
    taken = layout.snapshots / release
    for name in _still_there(layout, taken):
        _put_back(taken / name, layout.data / name)
    sync_tree(layout.data)


def _still_there(layout: Layout, taken: Path) -> list[str]:
    """Without collections that were removed since."""
    return [n for n in databases(taken) if n == DATABASE or (layout.data / n).is_file()]


def _put_back(taken: Path, path: Path) -> None:
    # The log of writes first: it belongs to the newer file.
    remove(path.with_name(path.name + _WRITES))
    remove(path.with_name(path.name + "-shm"))
    for end in (_WRITES, ""):
        source, target = taken.with_name(taken.name + end), path.with_name(path.name + end)
        if source.is_file():
            part = target.with_name(f"{target.name}.part")
            remove(part)
            try:
                shutil.copy2(source, part)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                remove(part)
                os.link(source, part)  # no room for a copy: the snapshot itself goes back
            owner = source.stat()
            os.chown(part, owner.st_uid, owner.st_gid)
            part.replace(target)


def prune(layout: Layout, keep: set[str | None]) -> None:
    """Remove releases and snapshots that are neither in service nor the one before."""
    for folder in (layout.releases, layout.snapshots):
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.name not in keep:
                remove(path)
