"""A bill of materials is valid CycloneDX, the same for the same parts, and reads back."""

import json
from dataclasses import replace
from pathlib import Path

import cyclonedx.schema
import pytest
from jsonschema_rs import Draft7Validator, Registry

from installer.bundle.sbom import Part, read, write
from installer.bundle.steps import BundleError

WHEEL = Part("a", "1.0", "pkg:pypi/a@1.0?file_name=a-1.0-py3-none-any.whl", "a" * 64, "MIT")
DEB = Part("libc6", "2.41-12", "pkg:deb/debian/libc6@2.41-12?arch=amd64", "b" * 64, "GPL and more")
MODEL = Part("m", "1", "pkg:generic/m@1", "c" * 64, "Apache-2.0", "machine-learning-model")
PARTS = [DEB, WHEEL, MODEL]


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    directory = Path(cyclonedx.schema.__file__).parent / "_res"
    files = {
        name: json.loads((directory / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.7", "spdx", "jsf-0.82", "cryptography-defs")
    }
    base = "http://cyclonedx.org/schema/"
    registry = Registry(
        [(f"{base}{name}.SNAPSHOT.schema.json", value) for name, value in files.items()]
    )
    return Draft7Validator(files["bom-1.7"], registry=registry)


def test_it_is_valid_cyclonedx(schema: Draft7Validator) -> None:
    document = json.loads(write("bundle", "0.1.0", PARTS))
    schema.validate(document)
    assert not schema.is_valid(document | {"components": [{"name": "without a type"}]})


def test_it_reads_back() -> None:
    assert read(write("bundle", "0.1.0", PARTS)) == sorted(PARTS)
    assert read(write("bundle", "0.1.0", [])) == []


def test_the_same_parts_give_the_same_bytes() -> None:
    first = write("bundle", "0.1.0", PARTS)
    assert write("bundle", "0.1.0", PARTS[::-1]) == first
    assert write("bundle", "0.1.1", PARTS) != first
    assert json.loads(first)["serialNumber"] != json.loads(write("b", "1", PARTS))["serialNumber"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (replace(WHEEL, sha256="A" * 64), "is no SHA-256"),
        (replace(WHEEL, sha256=""), "is no SHA-256"),
        (replace(WHEEL, purl="numpy"), "a: "),
        (replace(WHEEL, kind="thing"), "thing"),
        (DEB, "occurs twice"),
    ],
)
def test_a_part_that_cannot_be_listed_is_refused(part: Part, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        write("bundle", "0.1.0", [DEB, part])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"bomFormat": "CycloneDX", "specVersion": "1.6"}',
        '{"bomFormat": "CycloneDX", "specVersion": "1.7", "components": [{}]}',
        '{"bomFormat": "CycloneDX", "specVersion": "1.7", "components": 3}',
    ],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="not a"):
        read(text.encode())
