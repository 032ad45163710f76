"""The statement inside an OMS v1.0 signature: which files an artifact has, and their digests.

Rules:
- A manifest is complete: unique, plain names; SHA-256 everywhere; no links; nothing left out but
  the specification's defaults; the root digest is computed again.
- Both orders in use are read (by code point, as the specification says, and by path parts, as
  model-signing 1.1.1 writes); we write the specification's. model-signing 1.1.1 writes `shard_size`
  as a float and names a shard's algorithm `sha256-sharded-SIZE`: we read both and write the name,
  so that it reads ours.
- Unknown fields of resource descriptors are ignored, as the specification demands.

Source: ossf/model-signing-spec v1.0; in-toto Statement v1.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import SignatureRefused
from appliance.text import visible
from appliance.trust.bytes import names, shards, strict_json
from appliance.trust.bytes.shards import Shard
from appliance.types import Json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_BYTES: Final = 4 << 20
MAX_FILES: Final = 4_096
# Other signers name their own output here, since it cannot be part of what it covers.
_MAY_IGNORE: Final = names.IGNORED_PATHS | {names.SIGNATURE_FILE}
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_SHARD: Final = re.compile(r"(.+):(0|[1-9]\d{0,18}):([1-9]\d{0,18})", re.DOTALL)

_EXACT: Final = 1 << 53  # up to here a float holds every integer

Found = Mapping[str, str]
"""The files on disk by relative path, stated as `Manifest.files` states them."""


@dataclass(frozen=True)
class Manifest:
    """Files that a signature covers.

    Attributes:
        root: hex SHA-256 over the resources' digests in listed order; names the artifact.
        files: hex SHA-256 by relative path; with shards, `shards.statement`.
        shard_size: bytes of a shard; None when files are hashed whole.
        signer: hint of the key that signed.
    """

    root: str
    files: Mapping[str, str]
    shard_size: int | None
    signer: str


def parse(payload: bytes, signer: str) -> Manifest:
    """Read a statement.

    Raises:
        SignatureRefused: `manifest_malformed`, `manifest_name_refused`, `manifest_ignore_refused`,
            `manifest_root_mismatch`, `manifest_shards`, `signature_method_unsupported`.
    """
    refuse = _refuse("manifest_malformed")
    value = strict_json.parse(payload, refuse, limit=MAX_BYTES)
    if strict_json.member(value, "_type", str, refuse) != STATEMENT_TYPE:
        raise refuse(f"_type is not {STATEMENT_TYPE}")
    if strict_json.member(value, "predicateType", str, refuse) != PREDICATE_TYPE:
        raise refuse(f"predicateType is not {PREDICATE_TYPE}")
    predicate = strict_json.member(value, "predicate", dict, refuse)
    size = _shard_size(strict_json.member(predicate, "serialization", dict, refuse))
    resources: list[Any] = strict_json.member(predicate, "resources", list, refuse)
    if not 0 < len(resources) <= (MAX_FILES if size is None else shards.MAX_SHARDS):
        raise refuse(f"it lists {len(resources)} resources")
    listed = [_resource(entry, size) for entry in resources]
    files = _whole(listed) if size is None else _sharded(listed, size)
    subjects: list[Any] = strict_json.member(value, "subject", list, refuse)
    if len(subjects) != 1:
        raise refuse(f"it has {len(subjects)} subjects, not one")
    digests = strict_json.member(subjects[0], "digest", dict, refuse)
    root = strict_json.member(digests, "sha256", str, refuse)
    if root != root_digest(digest for _, digest in listed):
        raise _error("manifest_root_mismatch", "the root digest is not that of the listed files")
    return Manifest(root, MappingProxyType(files), size, signer)


def _shard_size(serialization: object) -> int | None:
    refuse = _refuse("manifest_malformed")
    method = strict_json.member(serialization, "method", str, refuse)
    if method not in ("files", "shards"):
        raise _error("signature_method_unsupported", f"method {visible(method, limit=40)}")
    hash_type = strict_json.member(serialization, "hash_type", str, refuse)
    if hash_type != "sha256":
        raise _error("signature_method_unsupported", f"hash type {visible(hash_type, limit=40)}")
    if strict_json.optional(serialization, "allow_symlinks", bool, False, refuse):
        raise _error("manifest_ignore_refused", "it allows symbolic links")
    for path in strict_json.strings(serialization, "ignore_paths", refuse):
        if path not in _MAY_IGNORE:
            raise _error("manifest_ignore_refused", f"it leaves out {visible(path, limit=80)}")
    if method == "files":
        return None
    size = _integer(serialization)
    if not 0 < size < 1 << 62:
        raise _error("manifest_shards", f"shards have {size} bytes")
    return size


def _integer(serialization: object) -> int:
    value = serialization.get("shard_size") if isinstance(serialization, dict) else None
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return strict_json.member(serialization, "shard_size", int, _refuse("manifest_malformed"))


def _algorithm(shard_size: int | None) -> str:
    return "sha256" if shard_size is None else f"sha256-sharded-{shard_size}"


def _resource(entry: object, shard_size: int | None) -> tuple[str, str]:
    refuse = _refuse("manifest_malformed")
    name = strict_json.member(entry, "name", str, refuse)
    algorithm = strict_json.member(entry, "algorithm", str, refuse)
    if algorithm not in ("sha256", _algorithm(shard_size)):
        raise _error("signature_method_unsupported", f"algorithm {visible(algorithm, limit=40)}")
    digest = strict_json.member(entry, "digest", str, refuse)
    if not _HEX.fullmatch(digest):
        raise refuse("a digest is not a lower-case SHA-256")
    return name, digest


def _check_names(listed: Sequence[str]) -> None:
    for name in listed:
        if (wrong := names.problem(name)) or name == names.SIGNATURE_FILE:
            shown = visible(name, limit=80)
            raise _error("manifest_name_refused", f"the name {shown!r} {wrong or 'is its own'}")
    if pair := names.twins(listed):
        first, second = (visible(name, limit=80) for name in pair)
        raise _error("manifest_name_refused", f"{first} and {second} are the same name")


def _whole(listed: list[tuple[str, str]]) -> dict[str, str]:
    order = [name for name, _ in listed]
    _check_names(order)
    if order not in (sorted(order), sorted(order, key=_parts)):
        raise _error("manifest_malformed", "its files are not in order")
    return dict(listed)


def _sharded(listed: list[tuple[str, str]], size: int) -> dict[str, str]:
    found: dict[str, list[Shard]] = {}
    order = []
    for name, digest in listed:
        match = _SHARD.fullmatch(name)
        if match is None:
            raise _error("manifest_shards", f"{visible(name, limit=80)!r} names no shard")
        shard = Shard(int(match[2]), int(match[3]), digest)
        found.setdefault(match[1], []).append(shard)
        order.append((match[1], shard.start, name))
    _check_names(list(found))
    if len(found) > MAX_FILES:
        raise _error("manifest_malformed", f"it lists {len(found)} files")
    orders = (
        sorted(order, key=lambda entry: entry[2]),
        sorted(order),
        sorted(order, key=lambda entry: (_parts(entry[0]), entry[1])),
    )
    if order not in orders:
        raise _error("manifest_malformed", "its shards are not in order")
    for name, pieces in found.items():
        pieces.sort()
        _check_shards(name, pieces, size)
    return {name: shards.statement(pieces) for name, pieces in found.items()}


def _check_shards(name: str, pieces: list[Shard], size: int) -> None:
    at = 0
    for piece in pieces:
        last = piece is pieces[-1]
        length = piece.end - piece.start
        if piece.start != at or not 0 < length <= size or (length != size and not last):
            shown = visible(name, limit=80)
            raise _error("manifest_shards", f"{shown} has a gap or an overlap at byte {at}")
        at = piece.end


def _parts(name: str) -> list[str]:
    return name.split("/")


def statement(
    resources: Sequence[tuple[str, str]], name: str, shard_size: int | None
) -> dict[str, Json]:
    """The statement over pairs of name and hex digest, as JSON; `name` is for people."""
    serialization: dict[str, Json] = {
        "method": "files" if shard_size is None else "shards",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [*sorted(names.IGNORED_PATHS)],
    }
    if shard_size is not None:
        serialization["shard_size"] = shard_size
    root = root_digest(digest for _, digest in resources)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": [
                {"name": path, "algorithm": _algorithm(shard_size), "digest": digest}
                for path, digest in resources
            ],
            "serialization": serialization,
        },
    }


def root_digest(digests: Iterable[str]) -> str:
    """Hex SHA-256 over the raw digests, in the order given."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def compare(manifest: Manifest, found: Found) -> None:
    """Compare the files on disk, all but `model.sig`, with those that were signed.

    Raises:
        SignatureRefused: `file_missing`, `file_extra`, `file_changed`.
    """
    compare_names(manifest, found.keys())
    for name, digest in manifest.files.items():
        if found[name] != digest:
            raise SignatureRefused("file_changed", f"{name} is not what was signed.", param=name)


def compare_names(manifest: Manifest, found: Set[str]) -> None:
    """The part of `compare` that needs no hashing."""
    for name in sorted(manifest.files.keys() - found):
        raise SignatureRefused("file_missing", f"{name} is signed but missing.", param=name)
    for name in sorted(found - manifest.files.keys()):
        raise SignatureRefused("file_extra", f"{visible(name)} is not signed.", param=name)


def _error(code: str, problem: str) -> SignatureRefused:
    return SignatureRefused(code, f"model.sig: {problem}.")


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: _error(code, problem)
