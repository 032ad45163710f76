"""The tuning set: the packages for training, installed next to the releases from their own stick.

Rules: its list is signed with the key that the installation pinned; it is for the Python of the
release, and a set for GPUs for hosts with a fitting driver; a refusal leaves the earlier set.
"""

import compileall
import errno
import json
import os
import py_compile
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from installer.host import facts as host_facts
from installer.host import manifest, signature, wheel
from installer.host.answers import Layout
from installer.host.files import (
    exchange,
    explained,
    hash_file,
    point_link,
    remove,
    sync_directory,
    sync_tree,
    write_file,
)
from installer.host.manifest import Chunk, Part
from installer.host.problems import InstallError
from installer.host.store import Media, Progress, Store

FACTS: Final = "tuning.json"
WHEELS: Final = "wheels"
FORMAT: Final = 1
_LARGEST: Final = 1 << 20
"""Most bytes of a list."""
_DIGITS: Final = 16


@dataclass(frozen=True)
class Facts:
    """The Python and GPU that a set is for.

    Attributes:
        python: such as `3.13`.
        gpu: the kind of driver that it needs, a name in `facts.DRIVERS`; "" for the processor,
            which the document leaves out.
    """

    python: str
    machine: str
    lock: str
    gpu: str = ""


def encode(facts: Facts) -> bytes:
    """The document as bytes."""
    told = {name: value for name, value in vars(facts).items() if value}
    return (json.dumps({"format": FORMAT, **told}, indent=1, sort_keys=True) + "\n").encode()


def parse(data: bytes) -> Facts:
    """Read the document."""
    try:
        found = json.loads(data.decode("ascii"))
        if found.pop("format", None) != FORMAT or not all(type(v) is str for v in found.values()):
            raise ValueError("another format")
        facts = Facts(**found)
        if not re.fullmatch(r"3\.\d{1,2}", facts.python):
            raise ValueError(f"no Python: {facts.python[:20]!r}")
        if facts.gpu and facts.gpu not in dict(host_facts.DRIVERS):
            raise ValueError(f"no kind of GPU: {facts.gpu[:20]!r}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InstallError("manifest_invalid", f"{FACTS}: {error}") from error
    return facts


def install(
    media: Media, layout: Layout, openssl: Sequence[str], progress: Progress
) -> dict[str, Any]:
    """Put the set on a stick in service.

    Raises:
        InstallError: `key_unknown`, `key_changed`, `signature_missing`, `signature_invalid`,
            `file_unlisted`, `file_missing`, `file_truncated`, `file_changed`, `media_missing`,
            `media_unreadable`, `manifest_invalid`, `set_unfit`, `gpu_driver_missing`,
            `gpu_driver_too_old`, `disk_full`.
    """
    copies = layout.state / "tuning"
    remove(copies)
    try:
        with explained(copies):
            sums = _listed(media, layout, copies, openssl)
            facts = parse(_read(copies / FACTS))
            _check_fits(facts)
            parts = [_part(media, name, sums[name]) for name in sorted(sums) if _is_wheel(name)]
            store = Store(copies / WHEELS)
            for part in parts:
                store.copy(media, part, progress)
                store.verify(part)
            made = layout.tuning_sets / hash_file(copies / signature.SUMS)[0][:_DIGITS]
            _unpack(store, parts, made, layout.tuning, progress)
        for other in layout.tuning_sets.iterdir():
            if other != made:
                remove(other)
    finally:
        remove(copies)
    return {"python": facts.python, "wheels": len(parts), "directory": str(layout.tuning)}


def _listed(media: Media, layout: Layout, copies: Path, openssl: Sequence[str]) -> dict[str, str]:
    """The signed list, from a copy, after all checks that a copy allows."""
    pinned = layout.trust / signature.KEY
    if not pinned.is_file():
        raise InstallError("key_unknown", f"There is no {pinned}: no release was installed.")
    if not media.root.is_dir():
        raise InstallError("media_missing", f"{media.root} is not a directory.")
    copies.mkdir(parents=True, mode=0o700)
    for name in (signature.SUMS, signature.SIGNATURE, FACTS, signature.KEY):
        write_file(copies / name, _from_media(media.root / name, name))
    if _read(copies / signature.KEY) != _read(pinned):
        told = signature.fingerprint(copies / signature.KEY)
        raise InstallError("key_changed", f"{told} is not the key pinned here.")
    signature.verify(openssl, copies, pinned)
    sums = manifest.parse_sums(_read(copies / signature.SUMS))
    if sums.get(FACTS) != hash_file(copies / FACTS)[0]:
        raise InstallError("file_changed", f"{FACTS} is not what was signed.")
    media.check_listing(sums)
    return sums


def _from_media(path: Path, name: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError as error:
        signed = name in (signature.SUMS, signature.SIGNATURE)
        code = "signature_missing" if signed else "file_missing"
        raise InstallError(code, f"{name} is not on the stick.") from error
    except OSError as error:
        raise InstallError("media_unreadable", f"{name}: {error.strerror}.") from error


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _check_fits(facts: Facts) -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if facts.python != here:
        raise InstallError(
            "set_unfit", f"It is for Python {facts.python}, and the release has {here}."
        )
    if facts.machine != os.uname().machine:
        raise InstallError("machine_unsupported", f"It is for {facts.machine}.")
    if facts.gpu:
        check_driver(facts.gpu, host_facts.driver())


def check_driver(gpu: str, driver: int | None) -> None:
    """Refuse a set for GPUs on a host that cannot use it.

    `driver` is the host's major version; None for none (`gpu_driver_missing`,
    `gpu_driver_too_old`).
    """
    oldest = dict(host_facts.DRIVERS)[gpu]
    if driver is None:
        raise InstallError(
            "gpu_driver_missing", f"It is for {gpu}, and no NVIDIA driver is loaded on this host."
        )
    if driver < oldest:
        raise InstallError(
            "gpu_driver_too_old",
            f"It is for {gpu}, which needs the NVIDIA driver {oldest} or newer; here is {driver}.",
        )


def _is_wheel(name: str) -> bool:
    return name.startswith(f"{WHEELS}/") and name.endswith(".whl")


def _part(media: Media, name: str, digest: str) -> Part:
    try:
        size = os.lstat(media.root / name).st_size
    except OSError as error:
        code = "file_missing" if error.errno == errno.ENOENT else "media_unreadable"
        raise InstallError(code, f"{name}: {error.strerror}.") from error
    short = name.removeprefix(f"{WHEELS}/")
    return Part(short, "wheel", size, digest, (Chunk(name, size, digest),))


def _unpack(
    store: Store, parts: Sequence[Part], made: Path, link: Path, progress: Progress
) -> None:
    work = made.with_name(made.name + ".part")
    remove(work)
    try:
        work.mkdir(parents=True, mode=0o755)
        for done, part in enumerate(parts):
            progress(f"unpack {part.name}", done, len(parts))
            wheel.unpack(store.path(part), work, part.name)
        compileall.compile_dir(
            str(work),
            quiet=2,
            stripdir=str(work),
            prependdir=str(link),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # what it cannot compile is not imported either
        sync_tree(work)
        if made.exists():
            exchange(work, made)
        else:
            work.rename(made)
        sync_directory(made.parent)
        point_link(link, f"{made.parent.name}/{made.name}")
    finally:
        remove(work)
