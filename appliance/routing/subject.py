"""What a calibration works on: route, stages, sealed dataset and terms, checked before the look.

Rules: what is wrong is found here, from the stored bytes, before anything is opened; the items of
the split are opened by `opened` alone, into memory, at most one of each group.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.sealing import Seal
from appliance.errors import PolicyRefused, StateRefused, TaskRefused
from appliance.evals import gate_subject, scoring
from appliance.evals.gate_subject import GateParts, check_schedule, sealed_dataset, task_of
from appliance.jobs.kind import JsonObject
from appliance.routing import catalogue, rules
from appliance.routing.definition import KEY, PERSON, Route, Stage
from appliance.serving.backend import Backends
from appliance.statistics.agreement import repeated_labels
from appliance.statistics.groups import draw_by_size, draw_one_each, effective_groups
from appliance.tasks.definition import Fields, Labels
from appliance.tasks.loaded import LoadedTask
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import Signed, Specification
from appliance.trust.statements.route_certificates import RouteCertificates

_USABLE: Final = ("verified", "approved", "suspended")
_REPEATS: Final = 20
"""Texts that occur more than once from which label noise is told."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a calibration: the specification as a person signed it."""

    specification: str


@dataclass(frozen=True)
class CalibrationParts:
    """What a calibration needs of the appliance.

    Attributes:
        gate: what every look at a sealed split needs.
        certificates: where what was found is kept.
        changed: called when a certificate was kept.
        upstream: what answers for a stage on another host; raises Unavailable while it is away.
    """

    gate: GateParts
    certificates: RouteCertificates
    changed: Callable[[], None]
    upstream: Callable[[Stage], Backends]


@dataclass(frozen=True)
class Subject:
    """What is calibrated, before the split is opened.

    Attributes:
        small, larger: the tasks of the first two stages; `larger` is None without a second one.
        sealed: the file of the split.
    """

    signed: Signed
    route: Route
    small: LoadedTask
    larger: LoadedTask | None
    dataset: Dataset
    seal: Seal
    sealed: bytes

    @property
    def wanted(self) -> Specification:
        """The terms."""
        return self.signed.wanted

    @property
    def part(self) -> sealing.Part:
        """What the seal tells of the split."""
        return self.seal.parts[self.wanted.split]

    @property
    def company(self) -> bool:
        """Whether other requests in a batch move what the first stage is sure of."""
        return self.small.task.candidate.kind != "classifier"

    @property
    def noise(self) -> float:
        """Share of labels of repeated open texts that contradict the commonest one."""
        items = [item for part in self.dataset.splits.values() for item in part if item.labelled]
        found = repeated_labels((item.text, item.label) for item in items)
        return 1 - found.ceiling if found.texts >= _REPEATS else 0.0


@dataclass(frozen=True)
class Drawn:
    """What was drawn of a sealed split.

    Attributes:
        sizes: how many items each group of the split has.
    """

    items: tuple[Item, ...]
    sizes: Mapping[str, int]

    def effective(self, weight: str) -> float:
        """How many groups of one size weigh as those of the split do."""
        return effective_groups(self.sizes.values()) if weight == "answers" else len(self.sizes)


def envelope_of(params: JsonObject) -> bytes:
    """The specification as it was signed. Raises PolicyRefused (`specification_invalid`)."""
    try:
        return msgspec.convert(params, Wanted).specification.encode()
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise PolicyRefused("specification_invalid", f"Parameters: {error}.") from error


def subject_of(parts: GateParts, params: JsonObject) -> Subject:
    """Everything that can be wrong before the look, from the stored bytes; nothing is opened.

    Raises:
        Refused: `clock_behind`; what `trust.route.specified` raises; `evaluator_not_allowed`;
            `specification_other`, `dataset_not_sealed`, `route_stage_unfit`; what a check of the
            store finds.
    """
    parts.fresh().check_change()
    policy = parts.policy()
    signed = statements.specified(envelope_of(params), policy)
    policy.evaluator(ecdsa.hint(parts.evidence().public_key()))
    wanted = signed.wanted
    route = _route(parts, wanted, policy)
    larger = next(iter(route.larger), None)
    small = task_of(parts.store, wanted.small, wanted.small_digest, policy)
    _check_group(small, route.group_from)
    other = None
    if larger is not None:
        other = task_of(parts.store, wanted.larger, wanted.larger_digest, policy)
    _check_stages(small, other, p_true=route.small.p_true)
    digest, (dataset, seal, sealed) = parts.store.use(
        wanted.dataset, "dataset", policy, _silent, partial(sealed_dataset, wanted.split)
    )
    if digest != wanted.dataset_digest:
        raise _other(f"{wanted.dataset} has the digest {digest}")
    check_schedule(parts, wanted.split, wanted.schedule, seal)
    looks = parts.ledger.looks(seal.parts[wanted.split].marks)
    begun = any(look.id == signed.digest for look in looks)  # by an older version
    if wanted.weight != route.weight and not (begun and not wanted.weight):
        raise _other(f"the route weighs by {route.weight}")
    if not dataset.splits.get("dev"):
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no open split dev.")
    return Subject(signed, route, small, other, dataset, seal, sealed)


def _route(parts: GateParts, wanted: Specification, policy: TrustPolicy) -> Route:
    """The stored route, whose stages and terms are those of the specification."""
    record = parts.store.inventory.record(wanted.route)
    if record.kind != catalogue.KIND or record.state not in _USABLE:
        raise _other(f"{wanted.route} is {record.state} and no route that can be calibrated")
    checked = parts.store.check(wanted.route, policy, _silent)
    if checked.digest != wanted.route_digest:
        raise _other(f"{wanted.route} has the digest {checked.digest}")
    with parts.store.inventory.open(wanted.route) as artifact:
        route = catalogue.read_artifact(artifact)
    larger = next(iter(route.larger), None)
    second = ("", "") if larger is None else (larger.task, larger.digest)
    first = (route.small.task, route.small.digest)
    if first != (wanted.small, wanted.small_digest) or second != (
        wanted.larger,
        wanted.larger_digest,
    ):
        raise _other("the first two stages of the route are others")
    for name, value in catalogue.terms_of(route.terms).items():
        if getattr(wanted, name) > value:
            raise _other(f"{name} of the route is {value}")
    if wanted.looks != ledgers.LOOKS:
        raise _other(f"there are {ledgers.LOOKS} looks")
    return msgspec.structs.replace(route, id=wanted.route)


def _check_group(small: LoadedTask, group_from: str) -> None:
    """A request's group comes from something that a request has."""
    known = (KEY, PERSON, *small.task.fields)
    if group_from and group_from not in known:
        raise TaskRefused("route_stage_unfit", f"group_from is none of {', '.join(known)}.")


def _check_stages(small: LoadedTask, larger: LoadedTask | None, *, p_true: bool = False) -> None:
    """The first stage gives labels or fields, and the second takes and gives the same."""
    output = small.task.output
    if not isinstance(output, Labels | Fields):
        raise TaskRefused(
            "route_stage_unfit", f"{small.task.id} gives text, which has no confidence."
        )
    if p_true and small.task.candidate.kind == "classifier":
        raise TaskRefused(
            "route_stage_unfit",
            f"{small.task.id} has no model that p_true could ask whether its answer is right.",
        )
    if larger is None:
        return
    other = larger.task.output
    if isinstance(output, Labels):
        if not isinstance(other, Labels) or set(other.labels) != set(output.labels):
            raise TaskRefused("route_stage_unfit", f"{larger.task.id} gives other labels.")
    elif not isinstance(other, Fields) or larger.schema != small.schema:
        raise TaskRefused("route_stage_unfit", f"{larger.task.id} has another schema.")
    if set(larger.task.fields) != set(small.task.fields):
        raise TaskRefused("route_stage_unfit", f"{larger.task.id} takes other fields.")


def opened(parts: GateParts, subject: Subject) -> Drawn:
    """What was drawn of the split, in memory: at most one item of each group.

    Raises:
        DatasetRefused: what `sealing.open_part` raises.
    """
    wanted, name = subject.wanted, subject.dataset.manifest.name
    items = sealing.open_part(
        subject.seal, wanted.split, name, subject.sealed, parts.kek(), parts.marks_key()
    )
    draw = draw_by_size if wanted.weight == "answers" else draw_one_each
    places = draw([i.id for i in items], [i.group for i in items], wanted.seed)
    return Drawn(tuple(items[place] for place in places), Counter(i.group for i in items))


def reaches(subject: Subject, item: Item) -> bool:
    """Whether the rules of the route let an item reach its first stage."""
    return rules.reaches(subject.route, scoring.input_of(subject.small.task, item))


def check_sealed(parts: GateParts, subject: Subject) -> Drawn:
    """Hold the items of the split against the stages before the look; nothing of one is told.

    Raises:
        DatasetRefused: what `sealing.open_part` raises.
        EvaluationRefused: `sealed_item_unfit`.
    """
    stages = filter(None, (subject.small, subject.larger))
    drawn = opened(parts, subject)
    gate_subject.check_sealed([loaded.task for loaded in stages], drawn.items)
    return drawn


def check_items(subject: Subject, items: tuple[Item, ...]) -> None:
    """Refuse open items that the stages cannot take. Raises EvaluationRefused (`item_unfit`)."""
    for item in items:
        scoring.expected_of(subject.small.task, item)
        for loaded in filter(None, (subject.small, subject.larger)):
            scoring.input_of(loaded.task, item)


def under(loaded: LoadedTask, name: str) -> LoadedTask:
    """A task under another id."""
    return replace(loaded, task=msgspec.structs.replace(loaded.task, id=name))


def _other(problem: str) -> PolicyRefused:
    return PolicyRefused("specification_other", f"Specification: {problem}.")


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress without a watcher."""
