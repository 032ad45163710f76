"""The job that carries a certificate over to the engine that serves.

Rules: the engine answers open items as the certified one did, every one of them, or the task is
suspended with the items that differ; nothing sealed is opened and no look is taken. The same
answers bound a change, and the pass must bear it. The certificate says the same as before, but for
the engine, the date and the groups that were answered.

Source: method.md, rule 6.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from appliance.audit.entry import Draft
from appliance.datasets import directory as datasets
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, PolicyRefused, Refused
from appliance.evals import replay
from appliance.evals.asking import Asking
from appliance.evals.gate_subject import GateParts, needs_engine, task_of
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.loaded import LoadedTask
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import Certificate
from appliance.trust.statements.specification import MILLION
from appliance.types import Json, Role

_SHOWN: Final = 20


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: the id of the task."""

    task: str


@dataclass(frozen=True)
class _Subject:
    """What is carried over: the certificate as signed and read, and what it needs."""

    envelope: bytes
    certificate: Certificate
    answers: bytes
    loaded: LoadedTask
    dataset: Dataset


class Carry(Kind):
    """Has the engine that serves give the answers that were certified under another one.

    Args:
        suspend: takes a task out of service, with the reason.
    """

    name: ClassVar[str] = "carry"
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(
        self, parts: GateParts, suspend: Callable[[str, Refused], Awaitable[object]]
    ) -> None:
        self._parts, self._suspend = parts, suspend

    def check(self, params: JsonObject) -> None:
        """The form of the parameters. Raises EvaluationRefused (`evaluation_invalid`)."""
        _wanted(params)

    def title(self, params: JsonObject) -> str:
        """The task."""
        return _wanted(params).task

    def key(self, params: JsonObject) -> str | None:
        """One job for one task and engine."""
        return f"{_wanted(params).task} {self._parts.store.evaluations.engine}"

    def engine(self, params: JsonObject) -> bool:
        """A classifier needs none."""
        return needs_engine(self._parts, _wanted(params).task)

    async def run(self, job: Context) -> JsonObject:
        """Ask the open items; sign, or suspend the task.

        Raises:
            PolicyRefused: `evaluation_no_replay`, `evaluation_change_unbounded`; what a check of
                the store finds.
            StateRefused: the dataset is not here.
            EvaluationRefused: `gate_interrupted`.
        """
        parts, task = self._parts, _wanted(job.params).task
        subject = await job.in_thread(_subject_of, parts, task)
        loaded, dev = subject.loaded, subject.dataset.splits.get("dev", ())
        drafts = Drafts({task: loaded})
        inference = parts.inference(TaskBackends(parts.backends, drafts, evidence=parts.documents))
        asking = Asking(loaded.task, inference, f"carry-{job.id}")
        before = replay.read(subject.answers)
        unflipped = replay.groups(
            [item for item in dev if item.id in before], {"", *subject.certificate.wanted.floors}
        )
        evaluation.check_changes(subject.certificate, unflipped)

        async def again(item: Item) -> Json:
            told = await asking.outcome(item)
            replay.check_asked(item, told.failure)
            return replay.digest(told)

        flips = await job.unless_stopped(
            replay.flips(
                again,
                {item.id: item for item in dev},
                before,
                lambda done: job.report(task, done, len(before)),
            )
        )
        engine = parts.store.evaluations.engine
        fields: dict[str, Json] = {
            "action": "evaluation_carried",
            "actor": job.actor,
            "job": job.id,
            "task": task,
            "from": subject.certificate.id,
            "engine": engine,
            "flips": len(flips),
        }
        result: JsonObject = {"task": task, "engine": engine, "items": len(before), "flips": flips}
        if flips:
            await job.in_thread(_recorded, parts, {**fields, "certificate": ""})
            named = ", ".join(flips[:_SHOWN])
            await self._suspend(
                task,
                PolicyRefused(
                    evaluation.OTHER_ENGINE,
                    f"{engine} answers {len(flips)} items otherwise: {named}.",
                ),
            )
            return {**result, "certificate": None}
        made = await job.in_thread(_carried, parts, subject, unflipped, fields)
        change = evaluation.change_micros(unflipped[""], subject.certificate.wanted.alpha_micros)
        return {**result, "certificate": made, "groups": unflipped[""], "change": change / MILLION}


def _wanted(params: JsonObject) -> Wanted:
    try:
        return msgspec.convert(params, Wanted)
    except msgspec.ValidationError as error:
        raise EvaluationRefused("evaluation_invalid", f"Parameters: {error}.") from error


def _subject_of(parts: GateParts, task: str) -> _Subject:
    parts.fresh().check_change()
    policy, record = parts.policy(), parts.store.inventory.record(task)
    loaded = task_of(parts.store, task, record.digest or "", policy)
    envelope, certificate, answers = parts.store.evaluations.carriable(
        loaded.digest, parts.store.facts(task, policy), policy
    )
    wanted = certificate.wanted
    digest, dataset = parts.store.use(
        wanted.dataset, "dataset", policy, lambda phase, done, total: None, datasets.read_artifact
    )
    if digest != wanted.dataset_digest:
        raise PolicyRefused("evaluation_other_dataset", f"{wanted.dataset} is {digest} here.")
    return _Subject(envelope, certificate, answers, loaded, dataset)


def _carried(
    parts: GateParts, subject: _Subject, unflipped: Mapping[str, int], fields: dict[str, Json]
) -> str:
    """Sign, record and keep the certificate for this engine; its id."""
    made = evaluation.carry(
        subject.envelope,
        subject.certificate,
        parts.store.evaluations.engine,
        unflipped,
        parts.clock.wall_us(),
        parts.evidence(),
    )
    found = evaluation.verify(made, parts.policy()).id
    _recorded(parts, {**fields, "certificate": found})
    return parts.store.evaluations.add(made, parts.policy()).id


def _recorded(parts: GateParts, fields: dict[str, Json]) -> None:
    parts.audit.append(Draft("admin", fields)).result()
