"""A dataset as a directory: `dataset.json`, and a file of JSON lines for each split.

Rules: the directory obeys the rules of every artifact, so that it is signed, imported and approved
in the same way; a dataset that is read is whole and consistent or refused; a change makes a new
directory in one rename and takes the signature away; a split has a file of its own, so that it can
be sealed by itself.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.datasets.items import Item
from appliance.datasets.reading import MAX_ITEMS, parse_lines
from appliance.datasets.splits import LABELLED, SPLITS, UNLABELLED, Splits, check_groups
from appliance.errors import ApplianceError, DatasetRefused, SignatureRefused
from appliance.text import visible
from appliance.trust import names, strict_json
from appliance.trust.artifact import OtherFacts
from appliance.trust.directory import Artifact, open_artifact

FILE: Final = "dataset.json"
FORMAT: Final = 1
MAX_MANIFEST: Final = 64 << 10
_TEXTS: Final = ("name", "description", "licence", "source")


@dataclass(frozen=True)
class Manifest:
    """What a dataset says of itself.

    Attributes:
        version: counted up by its owner.
        rule: how it was split (`splits.Rule.describe`).
    """

    name: str
    description: str = ""
    licence: str = ""
    source: str = ""
    version: int = 1
    rule: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> bytes:
        """`dataset.json`."""
        table = {key: getattr(self, key) for key in _TEXTS}
        return strict_json.dump(
            {"format": FORMAT, "version": self.version, "splits": dict(self.rule), **table}
        )


@dataclass(frozen=True)
class Dataset:
    """A manifest and the items of each split."""

    manifest: Manifest
    splits: Splits

    @property
    def items(self) -> Iterator[Item]:
        """All items, split by split."""
        for name in SPLITS:
            yield from self.splits.get(name, ())

    def summary(self) -> dict[str, Any]:
        """Numbers for lists and records."""
        return {
            "kind": "dataset",
            "name": self.manifest.name,
            "version": self.manifest.version,
            "items": {name: len(part) for name, part in self.splits.items() if part},
            "groups": {
                name: len({item.group for item in part})
                for name, part in self.splits.items()
                if part
            },
        }


def split_file(name: str) -> str:
    """The file of a split."""
    return f"{name}.jsonl"


def read(path: Path) -> Dataset:
    """Read a dataset from its directory; its signature is not looked at.

    Raises:
        DatasetRefused: `dataset_unreadable`, `dataset_malformed`, or what is wrong with an item
            or a split.
        SignatureRefused: what `open_artifact` raises but for a missing directory.
    """
    try:
        with open_artifact(path) as artifact:
            return read_artifact(artifact)
    except SignatureRefused as error:
        if error.code in ("artifact_not_directory", "artifact_unreadable"):
            raise DatasetRefused("dataset_unreadable", error.message) from error
        raise


def read_artifact(artifact: Artifact) -> Dataset:
    """Read a dataset from an open directory.

    Raises:
        DatasetRefused, SignatureRefused: as `read`.
    """
    if FILE not in artifact.sizes:
        raise DatasetRefused("dataset_unreadable", f"The directory has no {FILE}.")
    manifest = parse_manifest(artifact.prefix(FILE, MAX_MANIFEST + 1))
    splits: Splits = {}
    for name in SPLITS:
        items: list[Item] = []
        if split_file(name) in artifact.sizes:
            with open(artifact.open(split_file(name)), "rb") as file:  # noqa: PTH123 - a descriptor
                items = parse_lines(file, split_file(name))
        splits[name] = tuple(items)
    _check(splits)
    return Dataset(manifest, splits)


def vet(artifact: Artifact) -> OtherFacts:
    """Read a dataset whole, and keep its numbers.

    Raises:
        DatasetRefused, SignatureRefused: as `read`.
    """
    return OtherFacts(read_artifact(artifact).summary())


def parse_manifest(data: bytes) -> Manifest:
    """Read `dataset.json`.

    Raises:
        DatasetRefused: `dataset_malformed`.
    """
    value = strict_json.parse(data, _refuse, limit=MAX_MANIFEST)
    if not isinstance(value, dict):
        raise _refuse("it is not an object")
    strict_json.only(value, {"format", "version", "splits", *_TEXTS}, "it", _refuse)
    if strict_json.member(value, "format", int, _refuse) != FORMAT:
        raise _refuse(f"its format is not {FORMAT}")
    version = strict_json.member(value, "version", int, _refuse)
    if not 1 <= version < 1 << 53:
        raise _refuse("version must be positive")
    rule: dict[str, Any] = strict_json.optional(value, "splits", dict, {}, _refuse)
    texts = {key: strict_json.optional(value, key, str, "", _refuse) for key in _TEXTS}
    if not texts["name"].strip() or not texts["name"].isprintable():
        raise _refuse("it has no name")
    return Manifest(**texts, version=version, rule=rule)


def write(path: Path, dataset: Dataset) -> None:
    """Write a new dataset.

    Raises:
        DatasetRefused: `dataset_exists`; a split that is not consistent.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetRefused("dataset_exists", f"{visible(str(path), limit=200)} is not empty.")
    _check(dataset.splits)
    _replace(path, dataset, {})


def rewrite(path: Path, dataset: Dataset) -> None:
    """Replace a dataset in its directory; other files stay, the signature goes.

    Raises:
        DatasetRefused: a split that is not consistent, and then nothing was changed.
    """
    _check(dataset.splits)
    ours = {FILE, names.SIGNATURE_FILE, *map(split_file, SPLITS)}
    with open_artifact(path) as artifact:
        kept = {name: path / name for name in artifact.sizes if name not in ours}
    _replace(path, dataset, kept)


def _replace(path: Path, dataset: Dataset, kept: Mapping[str, Path]) -> None:
    part = path.with_name(path.name + ".part")
    old = path.with_name(path.name + ".old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, source in kept.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part / name)
    (part / FILE).write_bytes(dataset.manifest.document())
    for name, items in dataset.splits.items():
        if items:
            with (part / split_file(name)).open("wb") as file:
                file.writelines(item.line() for item in items)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _check(splits: Splits) -> None:
    count = 0
    seen: set[str] = set()
    for name, part in splits.items():
        for item in part:
            if item.id in seen:
                shown = visible(item.id, limit=80)
                raise DatasetRefused("item_duplicate", f"Two items have the id {shown!r}.")
            seen.add(item.id)
            if item.labelled != (name in LABELLED):
                shown = visible(item.id, limit=80)
                raise DatasetRefused(
                    "item_invalid",
                    f"{name}: {shown!r} has {'an' if name == UNLABELLED else 'no'} answer.",
                )
        count += len(part)
    if count > MAX_ITEMS:
        raise DatasetRefused("dataset_too_large", f"There are more than {MAX_ITEMS} items.")
    if count == 0:
        raise DatasetRefused("dataset_malformed", "The dataset has no items.")
    check_groups(splits)


def _refuse(problem: str) -> ApplianceError:
    return DatasetRefused("dataset_malformed", f"{FILE}: {problem}.")
