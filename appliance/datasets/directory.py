"""A dataset as a directory: `dataset.json`, and a file of JSON lines for each split.

Rules: a change makes a new directory in one rename and removes the signature. Of a sealed split
(`sealing`) only the numbers are read; an item that a model answered is in `train` or the dataset is
refused.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from appliance.datasets import sealing
from appliance.datasets.items import Item
from appliance.datasets.reading import MAX_ITEMS, parse_lines
from appliance.datasets.sealing import SEALABLE, SEALED, Seal, SealKey, sealed_file
from appliance.datasets.splits import LABELLED, SPLITS, UNLABELLED, Splits, check_groups
from appliance.errors import DatasetRefused, SignatureRefused
from appliance.facts import DatasetFacts
from appliance.host import at_rest
from appliance.text import visible
from appliance.trust.artifacts.artifact import VettedWhole
from appliance.trust.bytes import names, strict_json
from appliance.trust.bytes.directory import Artifact, open_artifact
from appliance.types import JsonValue

FILE: Final = "dataset.json"
FORMAT: Final = 1
MAX_MANIFEST: Final = 64 << 10
_TEXTS: Final = ("name", "description", "licence", "source")


@dataclass(frozen=True)
class DatasetManifest:
    """`dataset.json`.

    Attributes:
        rule: of its split (`splits.Rule.describe`).
    """

    name: str
    description: str = ""
    licence: str = ""
    source: str = ""
    version: int = 1
    rule: Mapping[str, JsonValue] = field(default_factory=dict)

    def document(self) -> bytes:
        table = {key: getattr(self, key) for key in _TEXTS}
        return strict_json.dump(
            {"format": FORMAT, "version": self.version, "splits": dict(self.rule), **table}
        )


@dataclass(frozen=True)
class Dataset:
    """A manifest and the items of each split.

    Attributes:
        seal: of the sealed splits, which have no items here.
    """

    manifest: DatasetManifest
    splits: Splits
    seal: Seal | None = None

    @property
    def items(self) -> Iterator[Item]:
        for name in SPLITS:
            yield from self.splits.get(name, ())

    def facts(self) -> DatasetFacts:
        sealed = dict(self.seal.parts) if self.seal else {}
        items = {name: len(part) for name, part in self.splits.items() if part}
        groups = {
            name: len({item.group for item in part}) for name, part in self.splits.items() if part
        }
        return DatasetFacts(
            name=self.manifest.name,
            version=self.manifest.version,
            items=items | {name: part.items for name, part in sealed.items()},
            groups=groups | {name: part.groups for name, part in sealed.items()},
            sealed=tuple(sorted(sealed)),
        )


def split_file(name: str) -> str:
    """The file of a split."""
    return f"{name}.jsonl"


def read(path: Path) -> Dataset:
    """Read a directory, ignoring its signature.

    Raises:
        DatasetRefused: `dataset_unreadable`, `dataset_malformed`, or as for a wrong item or split.
    """
    try:
        with open_artifact(path) as artifact:
            return read_artifact(artifact)
    except SignatureRefused as error:
        if error.code in ("artifact_not_directory", "artifact_unreadable"):
            raise DatasetRefused("dataset_unreadable", error.message) from error
        raise


def read_artifact(artifact: Artifact) -> Dataset:
    """Raises as `read`."""
    if FILE not in artifact.sizes:
        raise DatasetRefused("dataset_unreadable", f"The directory has no {FILE}.")
    manifest = parse_manifest(artifact.prefix(FILE, MAX_MANIFEST + 1))
    seal = _seal(artifact)
    splits: Splits = {}
    for name in SPLITS:
        items: list[Item] = []
        if split_file(name) in artifact.sizes:
            with open(artifact.open(split_file(name)), "rb") as file:  # noqa: PTH123 - a descriptor
                items = parse_lines(file, split_file(name))
        splits[name] = tuple(items)
    found = Dataset(manifest, splits, seal)
    _check(found)
    return found


def _seal(artifact: Artifact) -> Seal | None:
    seal = None
    if sealing.FILE in artifact.sizes:
        seal = sealing.parse(artifact.prefix(sealing.FILE, sealing.MAX_SEAL + 1))
    for name in SEALABLE:
        is_sealed = seal is not None and name in seal.parts
        files = (split_file(name) in artifact.sizes, sealed_file(name) in artifact.sizes)
        if files[1] != is_sealed or (is_sealed and files[0]):
            raise DatasetRefused(
                "dataset_seal_invalid", f"{sealing.FILE} and the files of {name} do not agree."
            )
    return seal


def vet(artifact: Artifact) -> VettedWhole[DatasetFacts]:
    """Raises as `read`."""
    return VettedWhole(read_artifact(artifact).facts())


def parse_manifest(data: bytes) -> DatasetManifest:
    """Raises DatasetRefused (`dataset_malformed`)."""
    value = strict_json.parse(data, _refuse, limit=MAX_MANIFEST)
    if not isinstance(value, dict):
        raise _refuse("it is not an object")
    strict_json.only(value, {"format", "version", "splits", *_TEXTS}, "it", _refuse)
    if strict_json.member(value, "format", int, _refuse) != FORMAT:
        raise _refuse(f"its format is not {FORMAT}")
    version = strict_json.member(value, "version", int, _refuse)
    if not 1 <= version < 1 << 53:
        raise _refuse("version must be positive")
    rule = strict_json.optional(value, "splits", dict, {}, _refuse)
    texts = {key: strict_json.optional(value, key, str, "", _refuse) for key in _TEXTS}
    if not texts["name"].strip() or not texts["name"].isprintable():
        raise _refuse("it has no name")
    return DatasetManifest(**texts, version=version, rule=rule)


def write(path: Path, dataset: Dataset) -> None:
    """Raises DatasetRefused: `dataset_exists`; an inconsistent split."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetRefused("dataset_exists", f"{visible(str(path), limit=200)} is not empty.")
    _check(dataset)
    _replace(path, dataset, {})


def rewrite(path: Path, dataset: Dataset) -> None:
    """Other files stay, sealed splits too; the signature goes.

    Raises:
        DatasetRefused: an inconsistent split; nothing was changed.
    """
    _check(dataset)
    _replace(path, dataset, _kept(path))


def seal(path: Path, dataset: Dataset, key: SealKey, splits: Sequence[str] = SEALED) -> Dataset:
    """Encrypt splits of a directory; the signature goes. Returns the next version.

    Raises:
        DatasetRefused: `dataset_sealed`, `dataset_seal_empty`.
    """
    if dataset.seal is not None:
        raise DatasetRefused("dataset_sealed", "The dataset is sealed already.")
    chosen = {name: dataset.splits[name] for name in splits if dataset.splits.get(name)}
    if not chosen:
        raise DatasetRefused("dataset_seal_empty", f"There is nothing in {' or '.join(splits)}.")
    name = dataset.manifest.name
    parts = {split: sealing.describe(name, items, key.marks) for split, items in chosen.items()}
    made = Seal(key.id, key.kek, key.wrapped, parts)
    files = {sealing.FILE: made.document()}
    for split, items in chosen.items():
        files[sealed_file(split)] = sealing.seal_part(key, split, name, items)
    manifest = replace(dataset.manifest, version=dataset.manifest.version + 1)
    left = {split: () if split in chosen else items for split, items in dataset.splits.items()}
    found = Dataset(manifest, left, made)
    _check(found)
    _replace(path, found, _kept(path), files)
    return found


def _kept(path: Path) -> dict[str, Path]:
    ours = {FILE, names.SIGNATURE_FILE, *map(split_file, SPLITS)}
    with open_artifact(path) as artifact:
        return {name: path / name for name in artifact.sizes if name not in ours}


def _replace(
    path: Path,
    dataset: Dataset,
    kept: Mapping[str, Path],
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    part = path.with_name(path.name + ".part")
    old = path.with_name(path.name + ".old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, source in kept.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part / name)
    files = {FILE: dataset.manifest.document(), **more}
    for name, items in dataset.splits.items():
        if items:
            files[split_file(name)] = b"".join(item.line() for item in items)
    for name, data in files.items():
        (part / name).write_bytes(at_rest.sealed(part / name, data))
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _check(dataset: Dataset) -> None:
    splits = dataset.splits
    count = sum(part.items for part in dataset.seal.parts.values()) if dataset.seal else 0
    seen: set[str] = set()
    for name, part in splits.items():
        for item in part:
            if item.id in seen:
                shown = visible(item.id, limit=80)
                raise DatasetRefused("item_duplicate", f"Two items have the id {shown!r}.")
            seen.add(item.id)
            if item.teacher is not None and name != "train":
                shown = visible(item.id, limit=80)
                raise DatasetRefused("item_taught", f"{name}: a model answered {shown!r}.")
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
    _check_sealed_groups(dataset)


def _check_sealed_groups(dataset: Dataset) -> None:
    if dataset.seal is None:
        return
    where = {mark: name for name, part in dataset.seal.parts.items() for mark in part.names}
    for name in LABELLED:
        for item in dataset.splits.get(name, ()):
            found = where.get(sealing.name_mark(dataset.manifest.name, item.group))
            if found is not None:
                shown = visible(item.group, limit=80)
                raise DatasetRefused(
                    "group_in_two_splits", f"The group {shown!r} is in {name} and in {found}."
                )


_refuse: Final = DatasetRefused.of("dataset_malformed", FILE)
