"""The listing of an installed tree, and the differences from it. Pure but for reading the tree.

One line per entry, sorted by path as bytes: `f MODE SIZE SHA256 PATH`, `d MODE PATH`, `l TARGET
PATH` (a link's target has no blanks). Owners and times are not part of it; names are plain. The
digest of the listing is in the manifest.
"""

import hashlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

from installer.host.files import hash_file
from installer.host.problems import InstallError


def listing(root: Path) -> str:
    """Raises `tree_differs` for an entry that is no file, directory or link."""
    lines = {os.fsencode(path.relative_to(root)): _line(root, path) for path in root.rglob("*")}
    return "".join(lines[name] + "\n" for name in sorted(lines))


def digest(text: str) -> str:
    """SHA-256 of a listing, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def check(
    root: Path, wanted: str, code: str = "tree_differs", *, empty: Collection[str] = ()
) -> None:
    """Compare a tree with its listing; the refusal, with `code`, names the first entries that
    differ.

    Args:
        empty: names that may be there beyond the listing as directories or as empty files:
            systemd makes what it mounts onto. Each file in such a directory must be listed.
    """
    found = listing(root)
    if found == wanted:
        return
    known = set(wanted.splitlines())
    lines = known - set(found.splitlines())
    lines |= {x for x in found.splitlines() if x not in known and not _is_empty(x, empty)}
    if not lines:
        return
    paths = sorted({line.rpartition(" ")[2] for line in lines})
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    raise InstallError(code, f"{root}: {', '.join(paths[:5])}{more}.")


def _is_empty(line: str, names: Collection[str]) -> bool:
    kind, name = line[:2], line.rpartition(" ")[2]
    return name in names and (kind == "d " or (kind == "f " and line.split(" ")[2] == "0"))


def _line(root: Path, path: Path) -> str:
    name = ascii(str(path.relative_to(root)))[1:-1].replace(" ", "\\x20")
    found = path.lstat()
    mode = f"{stat.S_IMODE(found.st_mode):o}"
    if stat.S_ISLNK(found.st_mode):
        return f"l {path.readlink()} {name}"
    if stat.S_ISDIR(found.st_mode):
        return f"d {mode} {name}"
    if stat.S_ISREG(found.st_mode):
        sha256, size = hash_file(path)
        return f"f {mode} {size} {sha256} {name}"
    raise InstallError("tree_differs", f"{path} is neither file, directory nor link.")
