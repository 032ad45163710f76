"""The task and the items of an evaluation, read and checked against each other.

Rules:
- An approved artifact is hashed again from its stored bytes; a directory is a draft, and the result
  says so. A signed draft must still be what was signed.
- Few-shot examples are items of the split `train`, or the evaluation is refused.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from appliance.datasets import directory as datasets
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.splits import Splits
from appliance.errors import ApplianceError, DatasetRefused, EvaluationRefused, SignatureRefused
from appliance.evals import scoring
from appliance.evals.parameters import EvaluationWanted, is_path
from appliance.statistics import agreement
from appliance.tasks.catalogue import read_artifact as read_task
from appliance.tasks.definition import check_metric
from appliance.tasks.loaded import LoadedTask
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes import directory, manifest, names, oms
from appliance.trust.bytes.directory import Artifact, BlockMeter, open_artifact
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import silent

T = TypeVar("T")


class Store(Protocol):
    """Reads approved artifacts."""

    def use(self, name: str, kind: str, read: Callable[[Artifact], T]) -> tuple[str, T]:
        """Check one again, then read it; returns its digest and content.

        Raises:
            Refused: `unknown_model_id`, `artifact_kind`, `not_approved`, `file_changed` and what
                else a check or `read` raises.
        """
        ...


class ApprovedArtifacts:
    """Approved artifacts of the store."""

    def __init__(self, store: ModelStore, policy: Callable[[], TrustPolicy]) -> None:
        self._store, self._policy = store, policy

    def use(self, name: str, kind: str, read: Callable[[Artifact], T]) -> tuple[str, T]:
        return self._store.use(name, kind, self._policy(), silent, read)


@dataclass(frozen=True)
class EvaluationSubject:
    """The measured task, split and candidates.

    Attributes:
        drafts: those of "task" and "dataset" that were read from a directory.
        train: for baselines and examples.
        ceiling: agreement of two labels of one text; None where no text has two.
    """

    loaded: LoadedTask
    data_digest: str
    drafts: tuple[str, ...]
    train: tuple[Item, ...]
    items: tuple[Item, ...]
    ceiling: float | None


def read_subject(store: Store, wanted: EvaluationWanted) -> EvaluationSubject:
    """Read the task and the dataset, and check that they fit.

    Raises:
        ApplianceError: faults of either, `item_unfit`, `evaluation_empty`, `task_metric_unfit`.
    """
    task_digest, loaded = _read(store, wanted.task, "task", read_task)
    check_metric(loaded.task)
    if not is_path(wanted.task):
        named = msgspec.structs.replace(loaded.task, id=wanted.task)
        loaded = replace(loaded, task=named)
    data_digest, data = read_data(store, wanted.data)
    items = some(data.splits.get(wanted.split, ()), wanted.limit)
    if not items:
        raise EvaluationRefused("evaluation_empty", f"The split {wanted.split} has no items.")
    train = tuple(data.splits.get("train", ()))
    check_examples(loaded, train)
    for item in items:
        scoring.expected_of(loaded.task, item)
        scoring.input_of(loaded.task, item)
    drafts = [k for k, name in (("task", wanted.task), ("dataset", wanted.data)) if is_path(name)]
    return EvaluationSubject(
        replace(loaded, digest=task_digest),
        data_digest,
        tuple(drafts),
        train,
        items,
        _ceiling(data.splits),
    )


def needs_engine(store: Store, task: str) -> bool:
    """True also if the task cannot be read."""
    try:
        return bool(_read(store, task, "task", read_task)[1].task.candidate.model)
    except ApplianceError:
        return True


def read_data(store: Store, name: str) -> tuple[str, Dataset]:
    """A dataset and its digest; raises as `read_subject`."""
    try:
        return _read(store, name, "dataset", datasets.read_artifact)
    except SignatureRefused as error:
        if error.code in ("artifact_not_directory", "artifact_unreadable"):
            raise DatasetRefused("dataset_unreadable", error.message) from error
        raise


def check_examples(loaded: LoadedTask, train: tuple[Item, ...]) -> None:
    """Raises EvaluationRefused (`example_not_train`)."""
    if strangers := set(loaded.example_ids) - {item.id for item in train}:
        raise EvaluationRefused(
            "example_not_train",
            f"The example {min(strangers)[:80]!r} is no item of the split train.",
        )


def some(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """The first items by digest; a limit of 0 is all, as they are."""
    if not limit:
        return tuple(items)
    ordered = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    return tuple(ordered[:limit])


def _read(store: Store, name: str, kind: str, read: Callable[[Artifact], T]) -> tuple[str, T]:
    if not is_path(name):
        return store.use(name, kind, read)
    with open_artifact(Path(name)) as artifact:
        return draft_digest(artifact), read(artifact)


def draft_digest(artifact: Artifact) -> str:
    """A draft's name by its files; as its signature's.

    Raises:
        SignatureRefused: `file_changed` and other differences from what was signed.
    """
    files = artifact.covered
    signed = None
    if names.SIGNATURE_FILE in artifact.sizes:
        signed = oms.parse_manifest(oms.parse_bundle(artifact.signature()))
    meter = BlockMeter(silent, "hashing", sum(files.values()))
    shard = signed.shard_size if signed else None
    digests = {
        name: found.signed
        for name, found in directory.hash_files(artifact, files, meter, shard).items()
    }
    if signed is not None:
        manifest.compare(signed, digests)
        return signed.root
    hashed = hashlib.sha256()
    for name in sorted(digests):
        hashed.update(f"{digests[name]}  {name}\n".encode())
    return hashed.hexdigest()


def _ceiling(splits: Splits) -> float | None:
    pairs = [
        (item.text.casefold().strip(), item.label)
        for part in splits.values()
        for item in part
        if item.labelled
    ]
    repeats = agreement.repeated_labels(pairs)
    return repeats.agreement if repeats.texts else None
