"""Subject of a gate: the task, the sealed split and the terms, checked before the look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, PolicyRefused, StateRefused
from appliance.evals.baselines import LINEAR, MAJORITY
from appliance.evals.packs.items import FILES
from appliance.evals.scoring import unfit_reason
from appliance.facts import DatasetFacts, TaskFacts
from appliance.looks.subject import (
    YEAR_US,
    LookParts,
    LookSubject,
    other,
    sealed_split,
    signed_terms,
    task_of,
)
from appliance.statistics.groups import draw_one_each
from appliance.tasks import catalogue
from appliance.tasks.definition import Task, check_metric
from appliance.tasks.loaded import LoadedTask
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import GateCertificate
from appliance.trust.statements.specification import MILLION, Specification

NONE: Final = "none"
"""The incumbent that answers nothing: then the floors decide."""
BASELINES: Final = (MAJORITY, LINEAR, NONE)
_USABLE: Final = ("verified", "approved", "suspended")


@dataclass(frozen=True, kw_only=True)
class GateSubject(LookSubject[Specification]):
    """Compared sides, before the split is opened.

    Attributes:
        incumbent: the compared task; None for a baseline.
    """

    loaded: LoadedTask
    incumbent: LoadedTask | None


def baseline_of(task: TaskFacts) -> str:
    """The first incumbent of a task: its declared one, else the commonest label, else none."""
    return task.baseline or (MAJORITY if task.form == "labels" else NONE)


def _check_records(store: ModelStore, wanted: Specification, policy: TrustPolicy) -> None:
    task = store.inventory.record(wanted.task)
    if task.kind != catalogue.KIND or task.state not in _USABLE:
        raise other(f"{wanted.task} is {task.state} and no task that can be evaluated")
    if task.digest != wanted.task_digest:
        raise other(f"{wanted.task} has the digest {task.digest}")
    facts = store.facts(wanted.task, policy)
    if (facts.model, facts.model_digest) != (wanted.model, wanted.model_digest):
        raise other(f"{wanted.task} names another model")
    if facts.metric != wanted.metric or wanted.looks != ledgers.LOOKS:
        raise other(f"the metric is {facts.metric} and there are {ledgers.LOOKS} looks")
    evaluation.check_terms(wanted, facts, "specification_other")
    _check_packs(wanted, facts.candidate)
    check_floor(wanted)
    if wanted.incumbent not in BASELINES:
        incumbent = store.inventory.record(wanted.incumbent)
        if incumbent.digest != wanted.incumbent_digest or incumbent.kind != catalogue.KIND:
            raise other(f"{wanted.incumbent} is another one than the incumbent")
    data = store.inventory.record(wanted.dataset)
    if data.digest != wanted.dataset_digest:
        raise other(f"{wanted.dataset} has the digest {data.digest}")
    if not isinstance(data.facts, DatasetFacts) or wanted.split not in data.facts.sealed:
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no sealed {wanted.split}.")


def _check_packs(wanted: Specification, kind: str | None) -> None:
    unknown = sorted(set(wanted.packs) - set(FILES))
    if unknown:
        raise other(f"there is no pack {unknown[0]}, but {' and '.join(FILES)}")
    if wanted.packs and kind == "classifier":
        raise other("a classifier answers no pack")


def check_floor(wanted: Specification) -> None:
    """A candidate that replaces nothing needs a floor. Raises PolicyRefused."""
    if wanted.incumbent == NONE and not wanted.floors.get(""):
        raise PolicyRefused(
            "floor_missing",
            f"{wanted.task} is compared with nothing, and no floor is to be reached.",
        )


def issued(parts: LookParts) -> list[GateCertificate]:
    """This appliance's certificates of gates of the last year."""
    year = parts.clock.wall_us() - YEAR_US
    return parts.store.evaluations.passed_since(year, parts.policy())


def _check_yearly(parts: LookParts, wanted: Specification, policy: TrustPolicy) -> None:
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


def subject_of(parts: LookParts, envelope: bytes) -> GateSubject:
    """Check everything before the look.

    Raises:
        Refused: `specification_other`, `dataset_not_sealed`, `task_metric_unfit`.
    """
    signed, policy = signed_terms(parts, envelope, Specification)
    wanted = signed.said
    _check_records(parts.store, wanted, policy)
    loaded = task_of(parts.store, wanted.task, wanted.task_digest, policy)
    incumbent = None
    if wanted.incumbent not in BASELINES:
        incumbent = task_of(parts.store, wanted.incumbent, wanted.incumbent_digest, policy)
        incumbent = replace(incumbent, task=measured_as(loaded.task, incumbent.task))
    split = sealed_split(parts, policy, wanted)
    if not any(look.id == signed.id for look in parts.ledger.looks(split.part.marks)):
        check_metric(loaded.task)  # a look that an older version took comes to its end
    _check_yearly(parts, wanted, policy)
    with parts.store.inventory.open(wanted.task) as artifact:
        name = catalogue.read_artifact(artifact).task.id
    return GateSubject(
        signed=signed,
        split=split,
        loaded=loaded,
        incumbent=incumbent,
        name=name,
        version=loaded.task.version,
    )


def measured_as(task: Task, incumbent: Task) -> Task:
    """The incumbent under the task's rules: one metric for both."""
    gate = msgspec.structs.replace(incumbent.gate, metric=task.gate.metric)
    return msgspec.structs.replace(incumbent, gate=gate, compare=task.compare)


def check_items(parts: LookParts, subject: GateSubject) -> None:
    """Check sealed items against the task; reveal none.

    Raises:
        EvaluationRefused: `sealed_item_unfit`, with the number of such items.
    """
    tasks = [loaded.task for loaded in (subject.loaded, subject.incumbent) if loaded is not None]
    check_sealed(tasks, opened(parts, subject))


def check_sealed(tasks: Sequence[Task], items: Sequence[Item]) -> None:
    """Raises as `check_items`."""
    reasons = (map(unfit_reason, tasks, [item] * len(tasks)) for item in items)
    unfit = [reason for each in reasons if (reason := next(filter(None, each), ""))]
    if unfit:
        raise EvaluationRefused(
            "sealed_item_unfit", f"{len(unfit)} of {len(items)} do not fit, one because {unfit[0]}."
        )


def opened(parts: LookParts, subject: GateSubject) -> tuple[Item, ...]:
    """One item of each group, if so specified; raises as `sealing.open_part`."""
    wanted, items = subject.signed.said, subject.split.opened(parts)
    if wanted.items == "one":
        places = draw_one_each([i.id for i in items], [i.group for i in items], wanted.seed)
        items = tuple(items[place] for place in places)
    return items
