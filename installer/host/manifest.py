"""`manifest.json`: the parts of a bundle, and the tree on the host. Pure.

Rules: the document is believed only after the signature over `MANIFEST.sha256` and its own digest
were checked; it is parsed strictly all the same, to find the builder's mistakes before shipping.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar, cast

from installer.host.problems import InstallError

FORMAT: Final = 1
CHUNK: Final = 1_900_000_000
"""Bytes of the largest file on the stick: FAT32 ends at 4 GiB, some tools at 2 GiB."""
KINDS: Final = ("runtime", "installer", "tree", "wheel", "plugin", "model", "trust")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*")
_RELEASE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 1 << 44
_T = TypeVar("_T")


@dataclass(frozen=True)
class Chunk:
    """One file on the stick; `path` is relative to its top."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """One file, joined from its chunks.

    `kind` is one of `KINDS`. With `when` it is for hosts with that accelerator only: a `plugin` is
    such a wheel, and comes with a `tree` that lists its files. A model's files are `MODEL/FILE`.
    """

    name: str
    kind: str
    size: int
    sha256: str
    chunks: tuple[Chunk, ...]
    when: str = ""


@dataclass(frozen=True)
class Tree:
    """The installed tree: digest of its listing, number of entries, bytes."""

    sha256: str
    entries: int
    bytes: int


@dataclass(frozen=True)
class Requirements:
    """Requirements of the host."""

    kernel: str
    memory_mib: int


@dataclass(frozen=True)
class Manifest:
    """The whole document. `counter` only grows from release to release."""

    release: str
    version: str
    counter: int
    machine: str
    built: str
    requires: Requirements
    tree: Tree
    parts: tuple[Part, ...]

    def of(self, *kinds: str) -> list[Part]:
        return [part for part in self.parts if part.kind in kinds]

    def only(self, kind: str) -> Part:
        """The one part of this kind that every host needs."""
        return next(part for part in self.of(kind) if not part.when)

    def chosen(self, accelerator: str, models: Sequence[str]) -> list[Part]:
        """The parts for one host: those that every host needs, its plugin, the chosen models."""
        return [
            part
            for part in self.parts
            if part.when in ("", accelerator)
            and (part.kind != "model" or part.name.partition("/")[0] in models)
        ]


def model_names(parts: Iterable[Part]) -> list[str]:
    """The models among the parts of a bundle."""
    return sorted({part.name.partition("/")[0] for part in parts if part.kind == "model"})


def encode(manifest: Manifest) -> bytes:
    """The document as bytes; the same manifest always gives the same."""
    document = {"format": FORMAT, **asdict(manifest)}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii")


def parse(data: bytes) -> Manifest:
    """Read a manifest (`manifest_invalid`, `names_collide`)."""
    try:
        document = json.loads(data.decode("ascii"), object_pairs_hook=_no_repeats)
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise ValueError("another format")
        document["requires"] = _record(Requirements, document["requires"])
        document["tree"] = _record(Tree, document["tree"])
        document["parts"] = tuple(_part(part) for part in _list(document["parts"]))
        manifest = _record(Manifest, document)
        _check(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InstallError("manifest_invalid", f"manifest.json: {error}") from error
    check_names([chunk.path for part in manifest.parts for chunk in part.chunks])
    return manifest


def parse_sums(data: bytes) -> dict[str, str]:
    """Read `MANIFEST.sha256` (the format of sha256sum): path to digest.

    Raises as `parse`.
    """
    sums: dict[str, str] = {}
    try:
        for line in data.decode("ascii").removesuffix("\n").split("\n"):
            digest, separator, path = line[:64], line[64:66], line[66:]
            if separator != "  " or not _DIGEST.fullmatch(digest) or path in sums:
                raise ValueError(f"not a line of sha256sum: {line[:80]!r}")
            sums[_plain(path)] = digest
    except ValueError as error:
        raise InstallError("manifest_invalid", f"MANIFEST.sha256: {error}") from error
    check_names(list(sums))
    return sums


def check_names(paths: Sequence[str]) -> None:
    """Refuse paths that are one file on a file system that folds case (`names_collide`)."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.casefold(), path)
        if other is not path:
            raise InstallError("names_collide", f"{path} and {other} are one name on FAT.")


def _check(manifest: Manifest) -> None:
    if not _RELEASE.fullmatch(manifest.release) or manifest.counter < 1:
        raise ValueError("no release id, or a counter below 1")
    for digest in (manifest.tree.sha256, *(part.sha256 for part in manifest.parts)):
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest")
    for kind in ("runtime", "installer", "tree"):
        if len([part for part in manifest.of(kind) if not part.when]) != 1:
            raise ValueError(f"not exactly one {kind}")
    names = [(part.kind, part.name) for part in manifest.parts]
    if len(set(names)) != len(names):
        raise ValueError("two parts have one name")


def _part(value: Any) -> Part:
    value["chunks"] = tuple(_chunk(chunk) for chunk in _list(value["chunks"]))
    part = _record(Part, value)
    _plain(part.name)
    if part.kind not in KINDS or sum(chunk.size for chunk in part.chunks) != part.size:
        raise ValueError(f"{part.name}: unknown kind, or sizes that do not add up")
    return part


def _chunk(value: Any) -> Chunk:
    chunk = _record(Chunk, value)
    _plain(chunk.path)
    if chunk.size > CHUNK or not _DIGEST.fullmatch(chunk.sha256):
        raise ValueError(f"{chunk.path}: too large, or no digest")
    return chunk


def _plain(path: str) -> str:
    if not _NAME.fullmatch(path) or ".." in PurePosixPath(path).parts or len(path) > 200:
        raise ValueError(f"not a plain name: {path[:80]!r}")
    return path


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _record(kind: type[_T], value: Any) -> _T:
    """A dataclass from a mapping with exactly its fields and their types."""
    declared = {field.name: field.type for field in fields(cast(Any, kind))}
    if set(value) != set(declared):
        raise ValueError(f"{kind.__name__}: fields {sorted(set(value) ^ set(declared))}")
    for name, wanted in declared.items():
        found = value[name]
        if wanted in (int, str) and type(found) is not wanted:
            raise ValueError(f"{kind.__name__}.{name}: not {wanted}")
        if wanted is int and not 0 <= found < _LARGEST:
            raise ValueError(f"{kind.__name__}.{name}: out of range")
    return kind(**value)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
