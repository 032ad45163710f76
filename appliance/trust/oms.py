"""OpenSSF Model Signing v1.0, key method: bytes in, a verdict with a stable code out.

Rules:
- A bundle is strict JSON with exactly one ECDSA signature whose key is named by its hint.
  Key material inside the bundle is refused, never used.
- The signature is checked over the raw payload before anything in it is believed.
- A manifest is complete: unique, plain names; SHA-256 everywhere; no links; nothing left out
  but what the specification leaves out by default; the root digest is computed again.
- Both orders in use are read (by code point, as the specification says, and by path parts,
  as model-signing 1.1.1 writes); we write the specification's.
- Unknown fields of resource descriptors are ignored, as the specification demands.

Source: ossf/model-signing-spec v1.0; in-toto Statement v1; Sigstore bundle v0.3.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import SignatureRefused
from appliance.text import visible
from appliance.trust import dsse, ecdsa, names, strict_json

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_BUNDLE: Final = 4 << 20
MAX_FILES: Final = 4_096
# Other signers name their own output here, since it cannot be part of what it covers.
_MAY_IGNORE: Final = names.IGNORED_PATHS | {names.SIGNATURE_FILE}
_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read but not verified.

    Attributes:
        hint: hex SHA-256 that names the signing key.
    """

    hint: str
    envelope: dsse.Envelope


@dataclass(frozen=True)
class Manifest:
    """What a signature covers.

    Attributes:
        root: hex SHA-256 over the files' digests in listed order; names the artifact.
        files: hex SHA-256 by relative path.
        signer: hint of the key that signed.
    """

    root: str
    files: Mapping[str, str]
    signer: str


def parse_bundle(data: bytes) -> Bundle:
    """Read `model.sig`.

    Raises:
        SignatureRefused: `signature_json_invalid`, `signature_malformed`,
            `signature_method_unsupported`.
    """
    value = strict_json.parse(data, _refuse("signature_json_invalid"), limit=MAX_BUNDLE)
    refuse = _refuse("signature_malformed")
    if strict_json.member(value, "mediaType", str, refuse) != MEDIA_TYPE:
        raise refuse(f"mediaType is not {MEDIA_TYPE}")
    material: dict[str, Any] = strict_json.member(value, "verificationMaterial", dict, refuse)
    if "certificate" in material or "x509CertificateChain" in material:
        raise _error("signature_method_unsupported", "it is signed by certificate, not by key")
    key: dict[str, Any] = strict_json.member(material, "publicKey", dict, refuse)
    if "rawBytes" in key:
        raise _error("signature_method_unsupported", "it carries its own key material")
    hint = strict_json.member(key, "hint", str, refuse)
    if not _HEX.fullmatch(hint):
        raise refuse("the key hint is not a lower-case SHA-256")
    envelope_json: dict[str, Any] = strict_json.member(value, "dsseEnvelope", dict, refuse)
    envelope = dsse.from_json(envelope_json, PAYLOAD_TYPE, refuse)
    if len(envelope.signatures) != 1:
        raise refuse(f"it has {len(envelope.signatures)} signatures, not one")
    return Bundle(hint, envelope)


def verify(bundle: Bundle, keys: Mapping[str, ecdsa.PublicKey]) -> Manifest:
    """Check the signature, then read the manifest that it covers.

    Args:
        keys: the acceptable keys by hint.

    Raises:
        SignatureRefused: `signature_key_unknown`, `signature_wrong`, and what
            `parse_manifest` raises.
    """
    key = keys.get(bundle.hint)
    if key is None or ecdsa.hint(key) != bundle.hint:
        raise _error("signature_key_unknown", f"it was signed by key {bundle.hint}")
    ((_, signature),) = bundle.envelope.signatures
    if not ecdsa.verify(key, signature, bundle.envelope.signed_bytes):
        raise _error("signature_wrong", f"the signature is not that of key {bundle.hint}")
    return parse_manifest(bundle)


def parse_manifest(bundle: Bundle) -> Manifest:
    """Read the statement inside a bundle without checking its signature.

    Raises:
        SignatureRefused: `manifest_malformed`, `manifest_name_refused`,
            `manifest_ignore_refused`, `manifest_root_mismatch`,
            `signature_method_unsupported`.
    """
    refuse = _refuse("manifest_malformed")
    value = strict_json.parse(bundle.envelope.payload, refuse, limit=MAX_BUNDLE)
    if strict_json.member(value, "_type", str, refuse) != STATEMENT_TYPE:
        raise refuse(f"_type is not {STATEMENT_TYPE}")
    if strict_json.member(value, "predicateType", str, refuse) != PREDICATE_TYPE:
        raise refuse(f"predicateType is not {PREDICATE_TYPE}")
    predicate: dict[str, Any] = strict_json.member(value, "predicate", dict, refuse)
    _check_serialization(strict_json.member(predicate, "serialization", dict, refuse))
    files = _files(strict_json.member(predicate, "resources", list, refuse))
    subjects: list[Any] = strict_json.member(value, "subject", list, refuse)
    if len(subjects) != 1:
        raise refuse(f"it has {len(subjects)} subjects, not one")
    digests: dict[str, Any] = strict_json.member(subjects[0], "digest", dict, refuse)
    root = strict_json.member(digests, "sha256", str, refuse)
    if root != root_digest(files.values()):
        raise _error("manifest_root_mismatch", "the root digest is not that of the listed files")
    return Manifest(root, MappingProxyType(files), bundle.hint)


def _check_serialization(serialization: dict[str, Any]) -> None:
    refuse = _refuse("manifest_malformed")
    method = strict_json.member(serialization, "method", str, refuse)
    if method != "files":
        raise _error("signature_method_unsupported", f"method {visible(method, limit=40)}")
    hash_type = strict_json.member(serialization, "hash_type", str, refuse)
    if hash_type != "sha256":
        raise _error("signature_method_unsupported", f"hash type {visible(hash_type, limit=40)}")
    if strict_json.optional(serialization, "allow_symlinks", bool, False, refuse):
        raise _error("manifest_ignore_refused", "it allows symbolic links")
    for path in strict_json.strings(serialization, "ignore_paths", refuse):
        if path not in _MAY_IGNORE:
            raise _error("manifest_ignore_refused", f"it leaves out {visible(path, limit=80)}")


def _files(resources: list[Any]) -> dict[str, str]:
    refuse = _refuse("manifest_malformed")
    if not 0 < len(resources) <= MAX_FILES:
        raise refuse(f"it lists {len(resources)} files")
    listed = [_resource(entry) for entry in resources]
    order = [name for name, _ in listed]
    if pair := names.twins(order):
        first, second = (visible(name, limit=80) for name in pair)
        raise _error("manifest_name_refused", f"{first} and {second} are the same name")
    if order not in (sorted(order), sorted(order, key=lambda name: name.split("/"))):
        raise refuse("its files are not in order")
    return dict(listed)


def _resource(entry: object) -> tuple[str, str]:
    refuse = _refuse("manifest_malformed")
    name = strict_json.member(entry, "name", str, refuse)
    if (wrong := names.problem(name)) or name == names.SIGNATURE_FILE:
        shown = visible(name, limit=80)
        raise _error("manifest_name_refused", f"the name {shown!r} {wrong or 'is its own'}")
    algorithm = strict_json.member(entry, "algorithm", str, refuse)
    if algorithm != "sha256":
        raise _error("signature_method_unsupported", f"algorithm {visible(algorithm, limit=40)}")
    digest = strict_json.member(entry, "digest", str, refuse)
    if not _HEX.fullmatch(digest):
        raise refuse("a digest is not a lower-case SHA-256")
    return name, digest


def root_digest(digests: Iterable[str]) -> str:
    """Hex SHA-256 over the raw digests, in the order given."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def compare(manifest: Manifest, found: Mapping[str, str]) -> None:
    """Hold what lies on disk against what was signed.

    Args:
        found: hex SHA-256 by relative path of every file but `model.sig`.

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


def sign(files: Mapping[str, str], key: ecdsa.PrivateKey, name: str) -> bytes:
    """Make `model.sig`.

    Args:
        files: hex SHA-256 by relative path.
        name: how the artifact is called, for people.

    Raises:
        SignatureRefused: what `parse_manifest` raises: nothing is signed that could not be
            verified.
    """
    listed = sorted(files.items())
    payload = strict_json.dump(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": root_digest(d for _, d in listed)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "resources": [
                    {"name": path, "algorithm": "sha256", "digest": digest}
                    for path, digest in listed
                ],
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": sorted(names.IGNORED_PATHS),
                },
            },
        }
    )
    signature = ecdsa.sign(key, dsse.pae(PAYLOAD_TYPE, payload))
    hint = ecdsa.hint(key.public_key())
    data = strict_json.dump(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )
    verify(parse_bundle(data), {hint: key.public_key()})
    return data


def _error(code: str, problem: str) -> SignatureRefused:
    return SignatureRefused(code, f"model.sig: {problem}.")


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: _error(code, problem)
