"""Subject of a calibration: route, stages, sealed dataset and terms, checked before the look.

Rule: only `opened` opens the items of the split, into memory, at most one of each group.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.errors import StateRefused, TaskRefused
from appliance.evals import gate_subject, scoring
from appliance.looks.subject import (
    LookParts,
    LookSubject,
    other,
    sealed_split,
    signed_terms,
    task_of,
)
from appliance.routing import catalogue, rules
from appliance.routing.definition import KEY, PERSON, RouteDefinition, StageDefinition
from appliance.serving.backend import Backends
from appliance.statistics.agreement import repeated_labels
from appliance.statistics.groups import draw_by_size, draw_one_each, effective_groups
from appliance.tasks.definition import JsonForm, LabelForm
from appliance.tasks.loaded import LoadedTask
from appliance.tasks.metrics import METRICS
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.route import RouteSpecification
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.types import silent

_USABLE: Final = ("verified", "approved", "suspended")
_REPEATS: Final = 20
"""Texts that occur more than once from which label noise is reported."""


@dataclass(frozen=True)
class CalibrationParts:
    """Services that a calibration needs.

    Attributes:
        upstream: raises Unavailable while a stage's engine on another host is away.
    """

    look: LookParts
    certificates: RouteCertificates
    changed: Callable[[], None]
    upstream: Callable[[StageDefinition], Backends]


@dataclass(frozen=True, kw_only=True)
class RouteSubject(LookSubject[RouteSpecification]):
    """The calibrated route.

    Attributes:
        small, larger: tasks of the first two stages; `larger` is None without a second.
        covered: as `ApprovedRoutes` has it.
    """

    route: RouteDefinition
    small: LoadedTask
    larger: LoadedTask | None
    covered: bool

    @property
    def company(self) -> bool:
        return self.small.task.candidate.kind != "classifier" and not self.covered

    @property
    def noise(self) -> float:
        """Share of labels of repeated open texts that contradict the commonest one."""
        parts = self.split.dataset.splits.values()
        items = [item for part in parts for item in part if item.labelled]
        found = repeated_labels((item.text, item.label) for item in items)
        return 1 - found.ceiling if found.texts >= _REPEATS else 0.0


@dataclass(frozen=True)
class Drawn:
    """Drawn items, and the sizes of groups."""

    items: tuple[Item, ...]
    sizes: Mapping[str, int]

    def effective(self, weight: str) -> float:
        return effective_groups(self.sizes.values()) if weight == "answers" else len(self.sizes)


def subject_of(parts: LookParts, envelope: bytes) -> RouteSubject:
    """Check everything before the look.

    Raises:
        Refused: `specification_other`, `dataset_not_sealed`, `route_stage_unfit`.
    """
    signed, policy = signed_terms(parts, envelope, RouteSpecification)
    wanted = signed.said
    route = _route(parts, wanted, policy)
    small = task_of(parts.store, wanted.small, wanted.small_digest, policy)
    _check_group(small, route.group_from)
    larger = None
    if route.larger:
        larger = task_of(parts.store, wanted.larger, wanted.larger_digest, policy)
    _check_stages(small, larger, p_true=route.small.p_true)
    split = sealed_split(parts, policy, wanted)
    begun = any(look.id == signed.id for look in parts.ledger.looks(split.part.marks))
    if wanted.weight != route.weight and not (begun and not wanted.weight):  # by an older version
        raise other(f"the route weighs by {route.weight}")
    if not split.dataset.splits.get("dev"):
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no open split dev.")
    candidate = small.task.candidate
    covered = candidate.kind != "classifier" and parts.covered(candidate.model)
    return RouteSubject(
        signed=signed, split=split, route=route, small=small, larger=larger, covered=covered
    )


def _route(parts: LookParts, wanted: RouteSpecification, policy: TrustPolicy) -> RouteDefinition:
    record = parts.store.inventory.record(wanted.route)
    if record.kind != catalogue.KIND or record.state not in _USABLE:
        raise other(f"{wanted.route} is {record.state} and no route that can be calibrated")
    checked = parts.store.check(wanted.route, policy, silent)
    if checked.digest != wanted.route_digest:
        raise other(f"{wanted.route} has the digest {checked.digest}")
    with parts.store.inventory.open(wanted.route) as artifact:
        route = catalogue.read_artifact(artifact)
    larger = next(iter(route.larger), None)
    second = ("", "") if larger is None else (larger.task, larger.digest)
    first = (route.small.task, route.small.digest)
    if first != (wanted.small, wanted.small_digest) or second != (
        wanted.larger,
        wanted.larger_digest,
    ):
        raise other("the first two stages of the route are others")
    for name, value in catalogue.terms_of(route.terms).items():
        if getattr(wanted, name) > value:
            raise other(f"{name} of the route is {value}")
    if wanted.looks != ledgers.LOOKS:
        raise other(f"there are {ledgers.LOOKS} looks")
    return msgspec.structs.replace(route, id=wanted.route)


def _check_group(small: LoadedTask, group_from: str) -> None:
    known = (KEY, PERSON, *small.task.fields)
    if group_from and group_from not in known:
        raise TaskRefused("route_stage_unfit", f"group_from is none of {', '.join(known)}.")


def _check_stages(small: LoadedTask, larger: LoadedTask | None, *, p_true: bool = False) -> None:
    output = small.task.output
    if not isinstance(output, LabelForm | JsonForm):
        raise TaskRefused(
            "route_stage_unfit", f"{small.task.id} gives text, which has no confidence."
        )
    if METRICS[small.task.gate.metric].ranked:
        raise TaskRefused(
            "route_stage_unfit",
            f"{small.task.id} has {small.task.gate.metric}, and a route gives one label.",
        )
    if p_true and small.task.candidate.kind == "classifier":
        raise TaskRefused(
            "route_stage_unfit",
            f"{small.task.id} has no model that p_true could ask whether its answer is right.",
        )
    if larger is None:
        return
    second = larger.task.output
    if isinstance(output, LabelForm):
        if not isinstance(second, LabelForm) or set(second.labels) != set(output.labels):
            raise TaskRefused("route_stage_unfit", f"{larger.task.id} gives other labels.")
    elif not isinstance(second, JsonForm) or larger.schema != small.schema:
        raise TaskRefused("route_stage_unfit", f"{larger.task.id} has another schema.")
    if set(larger.task.fields) != set(small.task.fields):
        raise TaskRefused("route_stage_unfit", f"{larger.task.id} takes other fields.")


def opened(parts: LookParts, subject: RouteSubject) -> Drawn:
    """Draw the split's items into memory; raises as `sealing.open_part`."""
    wanted, items = subject.signed.said, subject.split.opened(parts)
    draw = draw_by_size if wanted.weight == "answers" else draw_one_each
    places = draw([i.id for i in items], [i.group for i in items], wanted.seed)
    return Drawn(tuple(items[place] for place in places), Counter(i.group for i in items))


def open_answers(
    items: Iterable[Item], told: Mapping[str, Sequence[str]], wanted: RouteSpecification
) -> list[Item]:
    """Open items whose answers bound a change of engine; the accepted are a stratum.

    Where answers count alike, drawn as sealed ones are.

    Args:
        told: results of `calibration.replayed`, by item.
    """
    labelled = [item for item in items if item.labelled]
    if wanted.weight == "answers":
        ids, groups = [i.id for i in labelled], [i.group for i in labelled]
        labelled = [labelled[place] for place in draw_by_size(ids, groups, wanted.seed)]
    return [replace(item, stratum=told[item.id][1]) for item in labelled if item.id in told]


def reaches(subject: RouteSubject, item: Item) -> bool:
    """True if the rules let an item reach the first stage."""
    return rules.reaches(subject.route, scoring.input_of(subject.small.task, item))


def check_sealed(parts: LookParts, subject: RouteSubject) -> Drawn:
    """Check sealed items against the stages; reveal nothing of one.

    Raises:
        EvaluationRefused: `sealed_item_unfit`.
    """
    stages = filter(None, (subject.small, subject.larger))
    drawn = opened(parts, subject)
    gate_subject.check_sealed([loaded.task for loaded in stages], drawn.items)
    return drawn


def check_items(subject: RouteSubject, items: tuple[Item, ...]) -> None:
    """Refuse open items that the stages cannot take: EvaluationRefused (`item_unfit`)."""
    for item in items:
        scoring.expected_of(subject.small.task, item)
        for loaded in filter(None, (subject.small, subject.larger)):
            scoring.input_of(loaded.task, item)


def under(loaded: LoadedTask, name: str) -> LoadedTask:
    """A task under another id."""
    return replace(loaded, task=msgspec.structs.replace(loaded.task, id=name))
