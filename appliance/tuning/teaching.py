"""Teaching as a job: a larger model answers the unlabelled items of a dataset.

Rules:
- Nothing is asked before the admin states by what terms the teacher's outputs may train a model.
- A teacher that agrees too rarely with people on items of `train` teaches nothing.
- It answers as apps are answered, at batch priority.
- The result is a new dataset in `DATA/teaching/JOB/dataset/`, with the record `teaching.json`, to
  be signed like any other.
- Answers are kept as they come, so that a stopped job resumes at its item.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from appliance.clock import iso
from appliance.datasets import directory
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.splits import UNLABELLED
from appliance.errors import TuningRefused
from appliance.evals import scoring, shots
from appliance.evals.asking import asked
from appliance.evals.job import Parts, replace_answerer
from appliance.evals.outcomes import Outcome
from appliance.evals.parameters import EvaluationWanted as Evaluated
from appliance.evals.parameters import is_path
from appliance.evals.store import OutcomeFiles
from appliance.evals.subject import EvaluationSubject, read_data, read_subject, some
from appliance.evals.summary import summarise
from appliance.jobs.kind import Context, JobKind
from appliance.looks.answers import answered
from appliance.statistics.groups import GroupMean
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.loaded import LoadedTask
from appliance.text import between, many, percent
from appliance.trust.bytes import durable
from appliance.trust.bytes.encrypting import encrypt
from appliance.tuning.candidates import outcome
from appliance.tuning.teacher_items import Taught, taught, with_taught
from appliance.types import GenerationRequest
from appliance.wire.admin.results import (
    DatasetTaught,
    TaskNamed,
    TeacherAgreement,
    TeacherNamed,
)

DIRECTORY: Final = "teaching"
DATASET: Final = "dataset"
RECORD: Final = "teaching.json"
TYPE: Final = "https://appliance.invalid/teaching/v1"
_PEOPLE, _UNLABELLED = 0, 1


class TeachWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a teaching.

    Attributes:
        task, data: directories on the host.
        teacher: a model of the store, or an approved engine elsewhere.
        licence: by what terms its outputs may train another model.
        shots: solved items of train in its prompt; None for the task's.
        limit: most unlabelled items, the first by digest; 0 for all.
        held: most items of train that judge it.
        least: least share of these that agree with people.
    """

    task: str
    data: str
    teacher: str
    licence: str = ""
    shots: int | None = 8
    limit: int = 0
    held: int = 50
    least: float = 0.6


@dataclass(frozen=True)
class _Teacher:
    loaded: LoadedTask
    held: tuple[Item, ...]
    unlabelled: tuple[Item, ...]


class Teaching(JobKind[TeachWanted, DatasetTaught]):
    """The job.

    Args:
        parts: with `DATA/teaching` as `directory`.
    """

    name: ClassVar[str] = "teach"
    form = TeachWanted
    malformed = (TuningRefused, "tuning_invalid")
    unit: ClassVar[str] = "items"
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, params: TeachWanted) -> None:
        """Raises TuningRefused (`tuning_invalid`, `teacher_licence`); NotFound."""
        counts = (params.limit, params.held - 1, params.shots or 0)
        if min(counts) < 0 or not 0 <= params.least <= 1 or len(params.licence) > 1_000:
            raise TuningRefused(
                "tuning_invalid", "Parameters: counts are not negative, held is at least 1, least "
                "is a share, licence has at most 1,000 characters."
            )  # fmt: skip
        for path in (params.task, params.data):
            if not (is_path(path) and Path(path).is_dir()):
                raise TuningRefused("tuning_invalid", f"{path[:200]} is no directory.")
        if not params.licence.strip():
            raise TuningRefused("teacher_licence", f"The terms of {params.teacher} are not stated.")
        self._parts.backends.card(params.teacher)

    def title(self, params: TeachWanted) -> str:
        return f"{params.teacher} teaches {Path(params.data).name}"

    async def run(self, job: Context[TeachWanted]) -> DatasetTaught:
        wanted, begun = job.params, time.monotonic()
        store = self._parts.store
        split = Evaluated(wanted.task, wanted.data, "train")
        subject = await job.in_thread(read_subject, store, split)
        _, data = await job.in_thread(read_data, store, wanted.data)
        digest = self._parts.digest_of(wanted.teacher)
        one = _asked(wanted, subject, data, digest)
        files = OutcomeFiles(self._parts.directory / str(job.id))
        said = await self._answered(job, files, _PEOPLE, one, one.held)
        agreement = _agreement(one, said)
        if agreement.value < wanted.least:
            low, high = agreement.interval
            raise TuningRefused(
                "teacher_disagrees",
                f"{wanted.teacher} agrees with people on {percent(agreement.value)} "
                f"({between(low, high)}) of {len(said)} items, and {percent(wanted.least)} were "
                "asked for.",
            )
        answers = await self._answered(job, files, _UNLABELLED, one, one.unlabelled)
        found = taught(one.loaded, data, {a.item: a for a in answers}, digest)
        told = DatasetTaught(
            teacher=TeacherNamed(
                id=wanted.teacher, digest=digest, shots=len(one.loaded.example_ids)
            ),
            licence=wanted.licence.strip(),
            task=TaskNamed(id=subject.loaded.task.id, digest=subject.loaded.digest),
            data={"digest": subject.data_digest, "version": data.manifest.version},
            agreement=TeacherAgreement(
                value=agreement.value,
                interval=agreement.interval,
                items=len(said),
                groups=agreement.groups,
            ),
            asked=len(answers),
            taken=len(found.items),
            dropped=dict(found.dropped),
            share_dropped=found.share_dropped,
            taught=iso(self._parts.clock.wall_us()),
            seconds=round(time.monotonic() - begun, 1),
        )
        path = self._parts.directory / str(job.id) / DATASET
        await job.in_thread(_write, path, Path(wanted.data), data, found, told)
        return told.having(dataset=str(path))

    async def _answered(
        self,
        job: Context[TeachWanted],
        files: OutcomeFiles,
        number: int,
        one: _Teacher,
        items: Sequence[Item],
    ) -> list[Outcome]:
        task = one.loaded.task
        tasks = TaskBackends(self._parts.backends, Drafts({task.id: one.loaded}))
        inference, slots = self._parts.inference(tasks), tasks.slots(task.id)

        async def ask(item: Item) -> Outcome:
            sent = json.dumps(scoring.input_of(task, item), ensure_ascii=False)
            request = GenerationRequest(
                model=task.id, messages=({"role": "user", "content": sent},)
            )
            told = await asked(inference, f"teaching-{job.id}-{item.id}", request)
            took = max(1, round(told.seconds * 1e6))
            return Outcome(
                item.id, item.group, "", told.text, 0, took, told.tokens, failure=told.failure
            )

        phase = "asking for what people answered" if number == _PEOPLE else "asking"

        def report(done: int) -> None:
            job.report(phase, done, len(items))

        read, keep = partial(files.read, number), partial(files.append, number)
        done = await answered(job, read, keep, items, ask, slots, report)
        report(len(done))
        return done


def _asked(wanted: TeachWanted, subject: EvaluationSubject, data: Dataset, digest: str) -> _Teacher:
    """Raises TuningRefused: `tuning_rows` without items that judge, or to answer."""
    loaded = replace_answerer(subject.loaded, wanted.teacher, digest)
    people = [item for item in subject.items if item.teacher is None]
    if wanted.shots is not None:
        loaded = shots.with_examples(loaded, shots.choose(people, wanted.shots))
    shown = set(loaded.example_ids)
    held = some([item for item in people if item.id not in shown], wanted.held)
    waiting = data.splits.get(UNLABELLED, ())
    if not held or not waiting:
        raise TuningRefused(
            "tuning_rows",
            f"{len(held)} of train to judge the teacher, {len(waiting)} unlabelled: at least one "
            "of each is needed.",
        )
    return _Teacher(loaded, held, some(waiting, wanted.limit))


def _agreement(one: _Teacher, said: Sequence[Outcome]) -> GroupMean:
    answers = {one_said.item: one_said.answer for one_said in said}
    task = one.loaded.task
    found = [outcome(task, item, answers.get(item.id)) for item in one.held]
    return summarise("teacher", found, 0.0).quality


def _write(path: Path, given: Path, data: Dataset, found: Taught, told: DatasetTaught) -> None:
    """Raises TuningRefused: `tuning_checkpoint` when the disk refuses."""
    said = f"{told.teacher.id} answered {many(len(found.items), 'item')} of train."
    try:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(given, path)
        directory.rewrite(path, with_taught(data, found, said))
        text = json.dumps({"_type": TYPE, **told.document}, sort_keys=True, indent=1) + "\n"
        durable.replace(path / RECORD, text.encode(), 0o640)
        encrypt(path)
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"The dataset: {error.strerror}.") from error
