"""What a gate works on: the task, the sealed dataset and the terms, checked before the look.

Rules: what is wrong is found here, from the stored bytes, before anything is opened; the items of
the split are opened by `opened` alone, into memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from appliance.audit.log import AuditLog
from appliance.clock import Clock
from appliance.datasets import directory as datasets
from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.label_queues import LabelQueues
from appliance.datasets.ledger import Ledger
from appliance.datasets.sealing import Seal
from appliance.errors import EvaluationRefused, PolicyRefused, StateRefused
from appliance.evals.baselines import LINEAR, MAJORITY
from appliance.evals.packs.items import FILES
from appliance.evals.scoring import unfit_reason
from appliance.jobs.kind import JsonObject
from appliance.serving.backend import Backends
from appliance.serving.inference import Inference
from appliance.statistics.groups import draw_one_each
from appliance.tasks import catalogue
from appliance.tasks.cited import Evidence
from appliance.tasks.definition import Task, check_metric
from appliance.tasks.loaded import LoadedTask
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes import ecdsa
from appliance.trust.bytes.directory import Artifact
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation, specification
from appliance.trust.statements.evaluation import Certificate
from appliance.trust.statements.specification import MILLION, Signed, Specification

NONE: Final = "none"
"""The incumbent that answers nothing: then the floors decide."""
BASELINES: Final = (MAJORITY, LINEAR, NONE)
_USABLE: Final = ("verified", "approved", "suspended")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a gate: the specification as a person signed it."""

    specification: str


@dataclass(frozen=True)
class GateParts:
    """What a gate needs of the appliance.

    Attributes:
        directory: `DATA/evaluations`.
        policy: reads the trust policy in force.
        fresh: says how fresh it is.
        backends: the models.
        inference: makes a use-case of answers over backends.
        kek: the key-encryption key.
        evidence: the key that signs what was found.
        template_of: hex SHA-256 of a model's chat template; "" for none.
        log: name of the audit log.
        marks_key: the site's key of marks.
        labels: where people label the items on which two sides differ.
        documents: searches collections, as the app `evaluation`.
    """

    directory: Path
    store: ModelStore
    ledger: Ledger
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
    documents: Evidence | None = None


@dataclass(frozen=True)
class Subject:
    """What is compared, before the split is opened.

    Attributes:
        seal: of the dataset.
        sealed: the file of the split.
        incumbent: the task that is compared with; None for a baseline.
        name: of the task, as its definition has it: that of its later versions, too.
    """

    signed: Signed
    loaded: LoadedTask
    dataset: Dataset
    seal: Seal
    sealed: bytes
    incumbent: LoadedTask | None
    name: str

    @property
    def wanted(self) -> Specification:
        """The terms."""
        return self.signed.wanted

    @property
    def part(self) -> sealing.Part:
        """What the seal tells of the split."""
        return self.seal.parts[self.wanted.split]


def envelope_of(params: JsonObject) -> bytes:
    """The specification as it was signed. Raises PolicyRefused (`specification_invalid`)."""
    try:
        return msgspec.convert(params, Wanted).specification.encode()
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise PolicyRefused("specification_invalid", f"Parameters: {error}.") from error


def baseline_of(loaded_form: str, declared: str) -> str:
    """The first incumbent of a task: what it declares, else the commonest label, else none."""
    return declared or (MAJORITY if loaded_form == "labels" else NONE)


def _check_records(store: ModelStore, wanted: Specification, policy: TrustPolicy) -> None:
    """Hold a specification against the store; the task's terms are those of its signed bytes."""
    task = store.inventory.record(wanted.task)
    if task.kind != catalogue.KIND or task.state not in _USABLE:
        raise _other(f"{wanted.task} is {task.state} and no task that can be evaluated")
    if task.digest != wanted.task_digest:
        raise _other(f"{wanted.task} has the digest {task.digest}")
    facts = store.facts(wanted.task, policy)
    if (facts.get("model"), facts.get("model_digest")) != (wanted.model, wanted.model_digest):
        raise _other(f"{wanted.task} names another model")
    if facts.get("metric") != wanted.metric or wanted.looks != ledgers.LOOKS:
        raise _other(f"the metric is {facts.get('metric')} and there are {ledgers.LOOKS} looks")
    evaluation.check_terms(wanted, facts, "specification_other")
    _check_packs(wanted, str(facts.get("candidate", "")))
    check_floor(wanted)
    if wanted.incumbent not in BASELINES:
        incumbent = store.inventory.record(wanted.incumbent)
        if incumbent.digest != wanted.incumbent_digest or incumbent.kind != catalogue.KIND:
            raise _other(f"{wanted.incumbent} is another one than the incumbent")
    data = store.inventory.record(wanted.dataset)
    if data.digest != wanted.dataset_digest:
        raise _other(f"{wanted.dataset} has the digest {data.digest}")
    if wanted.split not in data.facts.get("sealed", ()):
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no sealed {wanted.split}.")


def _check_packs(wanted: Specification, kind: str) -> None:
    """A pack must be one of this version, and the candidate a model that writes."""
    unknown = sorted(set(wanted.packs) - set(FILES))
    if unknown:
        raise _other(f"there is no pack {unknown[0]}, but {' and '.join(FILES)}")
    if wanted.packs and kind == "classifier":
        raise _other("a classifier answers no pack")


def check_floor(wanted: Specification) -> None:
    """A candidate that replaces nothing must reach something. Raises PolicyRefused."""
    if wanted.incumbent == NONE and not wanted.floors.get(""):
        raise PolicyRefused(
            "floor_missing",
            f"{wanted.task} is compared with nothing, and no floor is to be reached.",
        )


def issued(parts: GateParts) -> list[Certificate]:
    """The certificates of gates that this appliance keeps of the last year."""
    year = parts.clock.wall_us() - 365 * 86_400_000_000
    return parts.store.evaluations.passed_since(year, parts.policy())


def _check_yearly(parts: GateParts, wanted: Specification, policy: TrustPolicy) -> None:
    """What the policy allows a year's certificates to promise wrongly, together."""
    allowed = policy.tasks.yearly_delta
    if allowed is None:
        return
    others = [c for c in issued(parts) if c.wanted != wanted]  # a job that goes on may have passed
    spent = sum(c.wanted.alpha_micros for c in others) / MILLION
    if spent + wanted.alpha_micros / MILLION > allowed + 1e-9:
        raise PolicyRefused(
            "yearly_delta_spent",
            f"A year's certificates allow {spent:g} false ones, the policy {allowed:g}, and this "
            f"gate's alpha is {wanted.alpha_micros / MILLION:g}.",
        )


def check_schedule(parts: GateParts, split: str, wanted: tuple[int, ...], seal: Seal) -> None:
    """The looks must spend alpha as the split does. Raises PolicyRefused."""
    schedule = ledgers.schedule(parts.ledger.looks(seal.parts[split].marks), seal.schedule)
    if (wanted or ledgers.QUARTERS) != schedule:
        raise _other(f"the looks at {split} spend alpha as {list(schedule)} millionths")


def _other(problem: str) -> PolicyRefused:
    return PolicyRefused("specification_other", f"Specification: {problem}.")


def subject_of(parts: GateParts, params: JsonObject) -> Subject:
    """Everything that can be wrong before the look, from the stored bytes; nothing is opened.

    Raises:
        Refused: `clock_behind`; what `specification.verify` raises; `evaluator_not_allowed`;
            `specification_other`, `dataset_not_sealed`, `task_metric_unfit`; what a check of the
            store finds.
    """
    parts.fresh().check_change()
    policy = parts.policy()
    signed = specification.verify(envelope_of(params), policy)
    policy.evaluator(ecdsa.hint(parts.evidence().public_key()))
    wanted = signed.wanted
    _check_records(parts.store, wanted, policy)
    loaded = task_of(parts.store, wanted.task, wanted.task_digest, policy)
    check_metric(loaded.task)
    incumbent = None
    if wanted.incumbent not in BASELINES:
        incumbent = task_of(parts.store, wanted.incumbent, wanted.incumbent_digest, policy)
        incumbent = replace(incumbent, task=measured_as(loaded.task, incumbent.task))
    read = partial(sealed_dataset, wanted.split)
    digest, (dataset, seal, sealed) = parts.store.use(
        wanted.dataset, "dataset", policy, _silent, read
    )
    if digest != wanted.dataset_digest:
        raise _other(f"{wanted.dataset} has the digest {digest}")
    check_schedule(parts, wanted.split, wanted.schedule, seal)
    _check_yearly(parts, wanted, policy)
    with parts.store.inventory.open(wanted.task) as artifact:
        name = catalogue.read_artifact(artifact).task.id
    return Subject(signed, loaded, dataset, seal, sealed, incumbent, name)


def measured_as(task: Task, incumbent: Task) -> Task:
    """An incumbent whose answers count as right as those of the task: one metric for both sides."""
    gate = msgspec.structs.replace(incumbent.gate, metric=task.gate.metric)
    return msgspec.structs.replace(incumbent, gate=gate, compare=task.compare)


def sealed_dataset(split: str, artifact: Artifact) -> tuple[Dataset, Seal, bytes]:
    """A dataset, its seal and the file of a sealed split. Raises StateRefused."""
    found = datasets.read_artifact(artifact)
    if found.seal is None or split not in found.seal.parts:
        raise StateRefused("dataset_not_sealed", f"The dataset has no sealed {split}.")
    name = sealing.sealed_file(split)
    return found, found.seal, artifact.prefix(name, artifact.sizes[name])


def task_of(store: ModelStore, task_id: str, digest: str, policy: TrustPolicy) -> LoadedTask:
    """A stored task, approved or not yet, whose files are those that were signed.

    Raises:
        Refused: what a check of the store finds; `specification_other` for another digest.
    """
    checked = store.check(task_id, policy, _silent)
    if checked.digest != digest:
        raise _other(f"{task_id} has the digest {checked.digest}")
    with store.inventory.open(task_id) as artifact:
        loaded = catalogue.read_artifact(artifact)
    return replace(loaded, task=msgspec.structs.replace(loaded.task, id=task_id), digest=digest)


def needs_engine(parts: GateParts, *tasks: str) -> bool:
    """Whether a model answers for one of the tasks; of one that is not here it is supposed."""
    try:
        return any(parts.store.inventory.record(task).facts.get("needs") != "" for task in tasks)
    except StateRefused:
        return True


def check_items(parts: GateParts, subject: Subject) -> None:
    """Hold every item of the split against the task before the look; nothing of one is told.

    Raises:
        DatasetRefused: what `sealing.open_part` raises.
        EvaluationRefused: `sealed_item_unfit`, with the number of such items.
    """
    tasks = [loaded.task for loaded in (subject.loaded, subject.incumbent) if loaded is not None]
    check_sealed(tasks, opened(parts, subject))


def check_sealed(tasks: Sequence[Task], items: Sequence[Item]) -> None:
    """Refuse a sealed split with items that a task cannot take; nothing of one is told.

    Raises:
        EvaluationRefused: `sealed_item_unfit`, with the number of such items.
    """
    reasons = (map(unfit_reason, tasks, [item] * len(tasks)) for item in items)
    unfit = [reason for each in reasons if (reason := next(filter(None, each), ""))]
    if unfit:
        raise EvaluationRefused(
            "sealed_item_unfit", f"{len(unfit)} of {len(items)} do not fit, one because {unfit[0]}."
        )


def opened(parts: GateParts, subject: Subject) -> tuple[Item, ...]:
    """The items of the split, in memory; one of each group where that was specified.

    Raises:
        DatasetRefused: what `sealing.open_part` raises.
    """
    wanted, name = subject.wanted, subject.dataset.manifest.name
    items = sealing.open_part(
        subject.seal, wanted.split, name, subject.sealed, parts.kek(), parts.marks_key()
    )
    if wanted.items == "one":
        places = draw_one_each([i.id for i in items], [i.group for i in items], wanted.seed)
        items = tuple(items[place] for place in places)
    return items


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress without a watcher."""
