"""Software bills of materials: CycloneDX 1.7 (ECMA-424), the same bytes for the same parts."""

import json
import re
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot7
from packageurl import PackageURL

from installer.bundle.llama_recipe import SOURCE_DATE_EPOCH
from installer.bundle.steps import BundleError

_NAMESPACE: Final = uuid.UUID("6f1f2f0c-4f3f-5d0a-9d9e-7b6b2f1f6a10")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class Part:
    """One carried thing.

    Attributes:
        purl: package URL (ECMA-427), e.g. `pkg:pypi/numpy@2.4.6?file_name=numpy-2.4.6-….whl` or
            `pkg:deb/debian/libc6@2.41-12?arch=amd64`.
        licence: SPDX expression or the words of its metadata; "" when it says nothing.
        kind: a component type of CycloneDX.
    """

    name: str
    version: str
    purl: str
    sha256: str
    licence: str = ""
    kind: str = "library"


def wheel_purl(name: str, version: str, file_name: str) -> str:
    """The package URL of one wheel of a project."""
    return PackageURL("pypi", None, name, version, {"file_name": file_name}).to_string()


def write(subject: str, version: str, parts: Collection[Part]) -> bytes:
    """The list of the parts of `subject`, each once, with hash and package URL."""
    known: set[str] = set()
    for part in parts:
        if not _SHA256.fullmatch(part.sha256):
            raise BundleError(f"{part.name}: {part.sha256!r} is no SHA-256")
        if part.purl in known:
            raise BundleError(f"{part.purl} occurs twice")
        known.add(part.purl)
    content = json.dumps([subject, version, *(vars(part) for part in sorted(parts))])
    components = [_component(part) for part in sorted(parts)]
    root = Component(name=subject, version=version, type=ComponentType.APPLICATION, bom_ref=subject)
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(_NAMESPACE, content),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(SOURCE_DATE_EPOCH, UTC),
            component=root,
        ),
    )
    bom.register_dependency(root, components)
    text = json.loads(JsonV1Dot7(bom).output_as_string())
    # Which part needs which other is not known here, and an empty list would say "none".
    text["dependencies"] = [node for node in text["dependencies"] if node["ref"] == subject]
    return (json.dumps(text, indent=1, sort_keys=True) + "\n").encode()


def read(document: bytes) -> list[Part]:
    """The parts of a list that `write` made."""
    try:
        value = json.loads(document)
        if (value["bomFormat"], value["specVersion"]) != ("CycloneDX", "1.7"):
            raise BundleError("not a CycloneDX 1.7 document")
        return [_part(component) for component in value.get("components", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"not a list of parts: {error!r}") from error


def _component(part: Part) -> Component:
    try:
        purl, kind = PackageURL.from_string(part.purl), ComponentType(part.kind)
    except ValueError as error:
        raise BundleError(f"{part.name}: {error}") from error
    return Component(
        name=part.name,
        version=part.version,
        type=kind,
        purl=purl,
        bom_ref=part.purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        licenses=_licences(part.licence),
    )


def _licences(text: str) -> Iterable[License]:
    if not text:
        return ()
    declared = LicenseAcknowledgement.DECLARED
    return (LicenseFactory().make_from_string(text, license_acknowledgement=declared),)


def _part(component: dict[str, Any]) -> Part:
    hashes = {entry["alg"]: entry["content"] for entry in component["hashes"]}
    licences = [
        entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
        for entry in component.get("licenses", [])
    ]
    part = Part(
        component["name"],
        component["version"],
        component["purl"],
        hashes["SHA-256"],
        licences[0] if licences else "",
        component["type"],
    )
    if not all(isinstance(value, str) for value in vars(part).values()):
        raise BundleError(f"not a part: {component!r:.200}")
    return part
