"""Signed terms and a sealed split: everything that a look works on, before the split is opened.

Rule: only `SealedSplit.opened` opens the items of a split, into memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from appliance.audit.entry import Draft
from appliance.audit.log import AuditLog
from appliance.clock import Clock
from appliance.datasets import directory as datasets
from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.label_queues import LabelQueues
from appliance.datasets.ledger import LedgerLook, LookLedger
from appliance.datasets.marks import SplitMarks
from appliance.datasets.sealing import Seal, SealedPart
from appliance.errors import PolicyRefused, StateRefused
from appliance.facts import TaskFacts
from appliance.jobs.kind import Context
from appliance.serving.backend import Backends
from appliance.serving.inference import Inference
from appliance.tasks import catalogue
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.cited import Evidence
from appliance.tasks.loaded import LoadedTask
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes import ecdsa
from appliance.trust.bytes.directory import Artifact
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route, specification
from appliance.trust.statements.statement import Signed
from appliance.types import Json, silent

VALID_DAYS: Final = 365
YEAR_US: Final = VALID_DAYS * 86_400_000_000
T = TypeVar("T")
S = TypeVar("S", specification.Specification, route.RouteSpecification)


class Specified(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a look: the specification as a person signed it."""

    specification: str


@dataclass(frozen=True, kw_only=True)
class LookParts:
    """The parts of the appliance that a look needs.

    Attributes:
        evidence: the key that signs findings.
        template_of: hex SHA-256 of a model's chat template; "" for none.
        log: name of the audit log.
        marks_key: the site's key of marks.
        labels: where people label the items on which two sides differ.
        covered: whether answers of a model have the same bits in any company, here and now.
        documents: searches collections, as the app `evaluation`.
        agreed: registers a look with a majority of the site's appliances; those it counts with.
    """

    directory: Path
    store: ModelStore
    ledger: LookLedger
    audit: AuditLog
    policy: Callable[[], TrustPolicy]
    fresh: Callable[[], Freshness]
    backends: Backends
    inference: Callable[[Backends], Inference]
    kek: Callable[[], bytes]
    evidence: Callable[[], ecdsa.PrivateKey]
    template_of: Callable[[str], str]
    log: str
    clock: Clock
    marks_key: Callable[[], bytes]
    labels: LabelQueues
    covered: Callable[[str], bool]
    documents: Evidence | None = None
    agreed: Callable[[LedgerLook, SplitMarks], Sequence[LedgerLook]] = lambda look, marks: ()

    @property
    def engine(self) -> str:
        return self.store.evaluations.engine

    def record(self, job: Context, action: str, fields: dict[str, Json]) -> int:
        """Add an entry of a job to the log; its number, once it is durable."""
        return (
            self.audit.append(Draft.deed(action, job.actor, job=job.id, **fields)).result()[0].seq
        )

    def tasks(self, loaded: LoadedTask) -> TaskBackends:
        """Backends of a task as it was read, approved or not."""
        drafts = Drafts({loaded.task.id: loaded})
        return TaskBackends(self.backends, drafts, evidence=self.documents)


@dataclass(frozen=True)
class SealedSplit:
    """A split of a dataset, sealed."""

    dataset: Dataset
    seal: Seal
    name: str
    data: bytes

    @property
    def part(self) -> SealedPart:
        return self.seal.parts[self.name]

    def opened(self, parts: LookParts) -> tuple[Item, ...]:
        named, kek, marks = self.dataset.manifest.name, parts.kek(), parts.marks_key()
        return sealing.open_part(self.seal, self.name, named, self.data, kek, marks)


@dataclass(frozen=True, kw_only=True)
class LookSubject(Generic[S]):
    """The judged subject, before the split is opened.

    Attributes:
        name, version: from a task's own definition: later versions have the name, too.
    """

    signed: Signed[S]
    split: SealedSplit
    name: str = ""
    version: int = 0


def envelope_of(params: Specified) -> bytes:
    """The specification as it was signed."""
    return params.specification.encode()


def signed_terms(
    parts: LookParts, envelope: bytes, terms: type[S]
) -> tuple[Signed[S], TrustPolicy]:
    """The specification, and the policy of its look.

    Raises:
        Refused: `clock_behind`, `evaluator_not_allowed`.
    """
    parts.fresh().check_change()
    policy = parts.policy()
    signed = terms.verify(envelope, policy)
    policy.evaluator(ecdsa.hint(parts.evidence().public_key()))
    return signed, policy


def sealed_split(
    parts: LookParts,
    policy: TrustPolicy,
    wanted: specification.Specification | route.RouteSpecification,
) -> SealedSplit:
    """The split that a specification names; its looks must spend alpha as it does.

    Raises:
        Refused: `dataset_not_sealed`, `specification_other`.
    """
    read = partial(_read_split, wanted.split)
    digest, split = parts.store.use(wanted.dataset, "dataset", policy, silent, read)
    if digest != wanted.dataset_digest:
        raise other(f"{wanted.dataset} has the digest {digest}")
    schedule = ledgers.schedule(parts.ledger.looks(split.part.marks), split.seal.schedule)
    if (wanted.schedule or ledgers.QUARTERS) != schedule:
        raise other(f"the looks at {split.name} spend alpha as {list(schedule)} millionths")
    return split


def _read_split(name: str, artifact: Artifact) -> SealedSplit:
    found = datasets.read_artifact(artifact)
    if found.seal is None or name not in found.seal.parts:
        raise StateRefused("dataset_not_sealed", f"The dataset has no sealed {name}.")
    file = sealing.sealed_file(name)
    return SealedSplit(found, found.seal, name, artifact.prefix(file, artifact.sizes[file]))


def task_of(store: ModelStore, task_id: str, digest: str, policy: TrustPolicy) -> LoadedTask:
    """A stored task with the signed files, approved or not yet.

    Raises:
        Refused: `specification_other` for another digest.
    """
    checked = store.check(task_id, policy, silent)
    if checked.digest != digest:
        raise other(f"{task_id} has the digest {checked.digest}")
    with store.inventory.open(task_id) as artifact:
        loaded = catalogue.read_artifact(artifact)
    return replace(loaded, task=msgspec.structs.replace(loaded.task, id=task_id), digest=digest)


def needs_engine(parts: LookParts, *tasks: str) -> bool:
    """True if a model answers one of them, or one is not here."""
    try:
        found = [parts.store.inventory.record(task).facts for task in tasks]
    except StateRefused:
        return True
    return any(not isinstance(facts, TaskFacts) or facts.needs != "" for facts in found)


def other(problem: str) -> PolicyRefused:
    """The refusal `specification_other`."""
    return PolicyRefused("specification_other", f"Specification: {problem}.")
