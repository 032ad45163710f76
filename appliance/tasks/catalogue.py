"""Available tasks: approved ones of the store, or drafts that an evaluation measures.

Rules: an approved task is checked again, from its stored bytes to its approvals, before its first
answer and after every change of its record.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from appliance.errors import TaskRefused
from appliance.facts import TaskFacts
from appliance.tasks import definition, labelled
from appliance.tasks.definition import Text
from appliance.tasks.loaded import LoadedTask, load
from appliance.trust.artifacts.artifact import VettedWhole
from appliance.trust.artifacts.records import ArtifactRecord, ModelState
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes.directory import Artifact
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import silent

KIND = "task"


@dataclass(frozen=True)
class CatalogueEntry:
    """A task before it is opened.

    Attributes:
        model: "" for a classifier that needs none.
        created: Unix time in seconds of its import; 0 for a draft.
        citations: whether its answers cite documents; None if unknown.
    """

    id: str
    model: str
    form: str
    digest: str
    created: int = 0
    citations: bool | None = False


class Tasks(Protocol):
    """Tasks by the ids that apps name."""

    def entries(self) -> list[CatalogueEntry]: ...

    def entry(self, task_id: str) -> CatalogueEntry | None:
        """None where no task has the id."""
        ...

    async def open(self, task_id: str) -> LoadedTask:
        """Raises Refused: the first check that fails."""
        ...


class Drafts:
    """Unsigned tasks, in memory."""

    def __init__(self, tasks: Mapping[str, LoadedTask]) -> None:
        self._tasks = tasks

    def entries(self) -> list[CatalogueEntry]:
        return [
            CatalogueEntry(
                name, loaded.task.candidate.model, definition.form_of(loaded.task), loaded.digest
            )
            for name, loaded in self._tasks.items()
        ]

    def entry(self, task_id: str) -> CatalogueEntry | None:
        return next((entry for entry in self.entries() if entry.id == task_id), None)

    async def open(self, task_id: str) -> LoadedTask:
        return self._tasks[task_id]


class ApprovedTasks:
    """Approved tasks of the store."""

    def __init__(self, store: ModelStore, policy: "Policy") -> None:
        self._store = store
        self._policy = policy
        self._checked: dict[str, tuple[ArtifactRecord[TaskFacts], LoadedTask]] = {}

    def entries(self) -> list[CatalogueEntry]:
        records = self._store.inventory.records_of(TaskFacts)
        return [_entry(record) for record in records if record.state == ModelState.APPROVED]

    def entry(self, task_id: str) -> CatalogueEntry | None:
        record = self._store.inventory.approved_of(task_id, TaskFacts)
        return None if record is None else _entry(record)

    async def open(self, task_id: str) -> LoadedTask:
        record = self._store.inventory.approved_of(task_id, TaskFacts)
        known = self._checked.get(task_id)
        if record is not None and known is not None and known[0] == record:
            return known[1]
        loaded = await asyncio.to_thread(self._use, task_id)
        if record is not None:
            self._checked[task_id] = record, loaded
        return loaded

    def _use(self, task_id: str) -> LoadedTask:
        policy = self._policy()
        digest, loaded = self._store.use(task_id, KIND, policy, silent, read_artifact)
        task = msgspec.structs.replace(loaded.task, id=task_id)
        return replace(loaded, task=task, digest=digest, policy=policy.version)


class Policy(Protocol):
    """Reads the trust policy in force."""

    def __call__(self) -> TrustPolicy: ...


def read_artifact(artifact: Artifact) -> LoadedTask:
    """A task without a digest; raises as `loaded.load`."""
    return load(artifact.prefix, "")


def vet(artifact: Artifact) -> VettedWhole[TaskFacts]:
    """Raises as `loaded.load`."""
    loaded = read_artifact(artifact)
    task, told, objection = loaded.task, labelled.about(loaded), None
    try:
        definition.check_metric(task)
    except TaskRefused as error:
        objection = error
    facts = TaskFacts(
        name=task.id,
        version=task.version,
        description=task.description,
        candidate=task.candidate.kind,
        needs=task.candidate.model,
        model=told.stage,
        model_digest=told.candidate,
        form=definition.form_of(task),
        metric=task.gate.metric,
        margin_micros=round(task.gate.margin * 1e6),
        alpha_micros=round(task.gate.alpha * 1e6),
        floor_micros=round(task.gate.floor * 1e6),
        baseline=task.gate.baseline,
        collection=(task.output.collection or "") if isinstance(task.output, Text) else "",
    )
    return VettedWhole(facts, objection)


def _entry(record: ArtifactRecord[TaskFacts]) -> CatalogueEntry:
    facts, created = record.facts, record.created_us // 1_000_000
    cites = None if facts.collection is None else bool(facts.collection)
    return CatalogueEntry(record.id, facts.needed, facts.form, record.digest or "", created, cites)
