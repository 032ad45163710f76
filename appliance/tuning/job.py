"""Tuning as a job: from a task, its items and a base in the store to an adapter that is proved.

Rules:
- Trainer and engine read the same sealed bytes of the verified base.
- Training and proof end in an adapter to be signed and imported like any other (`exporting`). A
  failed check leaves nothing there.
- A stopped job resumes at its last checkpoint, and comes to the same file.
"""

import contextlib
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from appliance import __version__
from appliance.clock import iso
from appliance.errors import TuningRefused
from appliance.evals.parameters import is_path
from appliance.evals.subject import read_data, read_subject
from appliance.host.energy import EnergyMeter
from appliance.jobs.kind import Context, ItemJob
from appliance.tasks.classifiers import document
from appliance.trust.artifacts.adapter import Base, vet_adapter
from appliance.trust.gguf.gguf import GgufFacts
from appliance.tuning import (
    curve,
    dev_outcomes,
    exporting,
    leaks,
    parameters,
    phases,
    plan,
    planning,
    settings,
    training_data,
)
from appliance.tuning.candidates import candidates
from appliance.tuning.field_quality import by_field
from appliance.tuning.messages import TrainingOrder
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.phases import TuningRun
from appliance.tuning.process import check_set
from appliance.tuning.report import conclusion
from appliance.tuning.served import serving
from appliance.tuning.services import TuningParts
from appliance.tuning.settings import TuneSettings
from appliance.tuning.trainer.weights import check_architecture
from appliance.tuning.training_data import TrainingItems
from appliance.wire.admin.results import AdapterTuned, TrainingRecord, TuningPlanned

_SLACK: Final = 3 << 30  # address space that is mapped and never touched


class TuningJob(ItemJob[TuneWanted, AdapterTuned | TuningPlanned]):
    """The job."""

    name: ClassVar[str] = "tune"
    form = TuneWanted
    malformed = (TuningRefused, "tuning_invalid")
    unit: ClassVar[str] = "steps"

    def __init__(self, parts: TuningParts) -> None:
        self._parts = parts

    def check(self, params: TuneWanted) -> None:
        """Check the parameters.

        Raises:
            TuningRefused: `tuning_invalid`, `tuning_method`, `tuning_set_missing`,
                `tuning_architecture`.
            StateRefused: `unknown_model_id`.
        """
        parameters.check(params)
        settings.check(params.settings)
        directories = [
            params.task,
            *filter(is_path, (params.data,)),
        ]  # an approved dataset has an id
        for path in directories:
            if not (is_path(path) and Path(path).is_dir()):
                raise TuningRefused("tuning_invalid", f"{path[:200]} is no directory.")
        check_set(self._parts.tuning_set)
        facts = self._parts.facts(params.base_of(params.definition()))
        check_architecture(facts.architecture)
        longest = params.settings.longest
        if longest > facts.n_ctx_train:
            raise TuningRefused(
                "tuning_invalid",
                f"longest is {longest}, and the base reads {facts.n_ctx_train} tokens.",
            )

    def title(self, params: TuneWanted) -> str:
        return f"{Path(params.task).name} from {Path(params.data).name}"

    def needs(self, params: TuneWanted) -> int:
        base = params.base_of(params.definition())
        return self._parts.memory(self._parts.facts(base), params.settings).total

    async def run(self, job: Context[TuneWanted]) -> AdapterTuned | TuningPlanned:
        asked, chosen = job.params, job.params.settings
        begun, meter = time.monotonic(), EnergyMeter()

        def report(phase: str, done: int, total: int) -> None:
            meter.joules()  # often enough that no round of its counters is missed
            job.report(phase, done, total)

        parts = self._parts
        report("reading", 0, 0)
        subject = await job.in_thread(read_subject, parts.store, asked.split("train"))
        dev = await job.in_thread(read_subject, parts.store, asked.split("dev"))
        task = subject.loaded.task
        files = await job.in_thread(parameters.task_files, Path(asked.task), task)
        report("verifying", 0, 0)
        variant = await job.in_thread(parts.variant)
        model = await job.in_thread(parts.seal, asked.base_of(task))
        with contextlib.closing(model):
            serve = partial(serving, model, chosen.longest, variant, parts.threads)
            report("loading the engine", 0, 0)
            async with serve() as served:
                report("tokenising", 0, 0)
                read = await job.unless_stopped(training_data.read(served, subject, dev.items))
                order = self._order(read, model.facts, chosen)
                run = TuningRun(parts, job, asked, model, order, read, report)
                if asked.plan:
                    trying = planning.tried(run, served, begun)
                    made: planning.Tried | phases.Proved = await job.unless_stopped(trying)
                else:
                    made = await job.unless_stopped(phases.proved(run, served))
            report("loading the engine", 0, 0)
            async with serve(reproducible=False) as served:
                report("measuring on dev", 0, 0)
                if isinstance(made, planning.Tried):
                    return await job.unless_stopped(planning.planned(run, served, made))
                found = await job.unless_stopped(phases.on_dev(run, served, made.data))
                fewer = phases.fewer_rows(run, served, made.untrained)
                points = await job.unless_stopped(fewer)
        points.append(curve.LearningPoint(1.0, len(read.rows), found.outcomes))
        helps, doubling = curve.more_helps(points)
        chosen_from = await job.in_thread(
            candidates,
            subject.loaded,
            read.items,
            read.dev_items,
            found.outcomes,
            found.shares,
            found.untuned,
        )
        best, data = made.best, made.data
        _, dataset = await job.in_thread(read_data, parts.store, asked.data)
        judged = await job.in_thread(leaks.groups_seen, dataset, read.items)
        kept = dev_outcomes.kept(subject.loaded, subject.data_digest, chosen_from).document()
        told = TrainingRecord(
            **dict(exporting.sources(read, chosen, made.trained, best, model, judged)),
            dev=exporting.quality(task, found.outcomes),
            fields=by_field(subject.loaded, found.outcomes, found.untuned),
            checks=exporting.checks(made.proof, best.base_gap, made.lost, asked.most_forgotten),
            curve=[point.told() for point in points] if asked.curve else [],
            more_data_helps=helps,
            doubling=doubling,
            candidates=chosen_from.told(),
            best=chosen_from.best,
            threads=parts.threads,
            versions={
                "appliance": __version__,
                "engine": f"{parts.engine} {variant.name}",
                "torch": best.done.torch,
            },
            trained=iso(parts.clock.wall_us()),
            seconds=round(time.monotonic() - begun, 1),
            joules=meter.joules(),  # of the whole host; null where it does not tell
            peak_mib=best.done.peak_bytes // plan.MIB,
            adapter_sha256=hashlib.sha256(data).hexdigest(),
            outcomes_sha256=hashlib.sha256(kept).hexdigest(),
        )
        directory = parts.directory / str(job.id)
        bound = Base(model.digest, model.gguf_sha256)
        vet_adapter(data, None, bound.statement())  # what an import would refuse is not offered
        if chosen_from.classifier:
            files = {**files, document.FILE: chosen_from.classifier}
        path = await job.in_thread(exporting.export, directory, data, bound, told, files, kept)
        seeds = [  # the record has all losses
            one.having(losses=[point for point in one.losses if point.dev is not None])
            for one in told.seeds
        ]
        said = told.having(seeds=seeds).document
        answer = conclusion(told)[0]
        return AdapterTuned.model_validate({"answer": answer, **said, "adapter": str(path)})

    def _order(self, read: TrainingItems, facts: GgufFacts, chosen: TuneSettings) -> TrainingOrder:
        read.check(chosen.longest)
        return TrainingOrder(
            settings=chosen,
            rows=read.rows,
            dev=read.dev,
            frozen=read.frozen(),
            threads=self._parts.threads,
            most_bytes=self._parts.memory(facts, chosen).trainer + _SLACK,
        )
