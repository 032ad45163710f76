"""The job that carries the certificate of a route over to the engine that serves.

Rules: the engine does with open items what the certified one did: the same answers of the stages
that are computed here, and the same of them accepted; for every item, or the certificate is out of
use, with the items that differ. Nothing sealed is opened and no look is taken. The certificate says
the same as before, but for the engine and the date, and is watched as the same.

Source: method.md, rule 6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from appliance.audit.entry import Draft
from appliance.datasets import directory as datasets
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, PolicyRefused, StateRefused
from appliance.evals import replay
from appliance.evals.gate_subject import needs_engine, task_of
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.routing import catalogue, confidence
from appliance.routing.calibration import observe, replayed
from appliance.routing.confidence import Confidence
from appliance.routing.subject import CalibrationParts
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.loaded import LoadedTask
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import Certificate
from appliance.types import Json, Role

NAME: Final = "route-carry"
_SHOWN: Final = 20

TakeAway = Callable[[str, str, str], None]
"""Takes a certificate out of use, recorded first: certificate, route, reason."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: the id of the route."""

    route: str


@dataclass(frozen=True)
class _Subject:
    """What is carried over: the certificate as signed and read, and what it needs.

    Attributes:
        before: of each item, what `calibration.replayed` gave.
        tasks: of the stages that are computed here, the first of them the first.
        p_true: whether the first is asked whether its answer is right.
    """

    envelope: bytes
    certificate: Certificate
    function: Confidence
    before: dict[str, Json]
    tasks: tuple[LoadedTask, ...]
    items: dict[str, Item]
    p_true: bool


class RouteCarry(Kind):
    """Has the engine that serves do with open items what was certified under another one.

    Args:
        take_away: takes a certificate out of use.
    """

    name: ClassVar[str] = NAME
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: CalibrationParts, take_away: TakeAway) -> None:
        self._parts, self._take_away = parts, take_away

    def check(self, params: JsonObject) -> None:
        """The form of the parameters. Raises EvaluationRefused (`evaluation_invalid`)."""
        _wanted(params)

    def title(self, params: JsonObject) -> str:
        """The route."""
        return _wanted(params).route

    def key(self, params: JsonObject) -> str | None:
        """One job for one route and engine."""
        return f"{_wanted(params).route} {self._parts.gate.store.evaluations.engine}"

    def engine(self, params: JsonObject) -> bool:
        """A classifier alone needs none."""
        gate, route = self._parts.gate, _wanted(params).route
        try:
            stages = gate.store.inventory.record(route).facts.get("stages", ({},))
        except StateRefused:
            return True
        return needs_engine(gate, *(str(stage.get("task", "")) for stage in stages[:2]))

    async def run(self, job: Context) -> JsonObject:
        """Ask the open items; sign, or take the certificate out of use.

        Raises:
            PolicyRefused: what `RouteCertificates.carriable` and a check of the store raise.
            StateRefused: `artifact_kind`; the dataset is not here.
            EvaluationRefused: `gate_interrupted`.
        """
        parts, route = self._parts, _wanted(job.params).route
        subject = await job.in_thread(_subject_of, parts, route)
        gate, certificate = parts.gate, subject.certificate
        stages = [
            (task, gate.inference(TaskBackends(gate.backends, Drafts({task.task.id: task}))))
            for task in subject.tasks
        ]
        threshold = certificate.found.threshold_micros or 0

        async def again(item: Item) -> Json:
            label = f"{NAME}-{job.id}"
            seen = await observe(stages, label, item, p_true=subject.p_true)
            replay.check_asked(item, seen.unasked)
            return replayed(seen, subject.function, threshold, larger=len(stages) > 1)

        total = len(subject.before)
        flips = await job.unless_stopped(
            replay.flips(
                again, subject.items, subject.before, lambda done: job.report(route, done, total)
            )
        )
        engine = gate.store.evaluations.engine
        fields: dict[str, Json] = {
            "action": "route_carried",
            "actor": job.actor,
            "job": job.id,
            "route": route,
            "from": certificate.id,
            "engine": engine,
            "flips": len(flips),
        }
        made = ""
        if flips:
            await job.in_thread(_recorded, parts, {**fields, "certificate": made})
            named = ", ".join(flips[:_SHOWN])
            reason = f"{engine} does otherwise with {len(flips)} items: {named}"
            await job.in_thread(self._take_away, certificate.origin, route, reason)
        else:
            made = await job.in_thread(_carried, parts, subject, fields)
            parts.changed()
        return {
            "route": route,
            "engine": engine,
            "items": total,
            "flips": flips,
            "certificate": made or None,
        }


def _wanted(params: JsonObject) -> Wanted:
    try:
        return msgspec.convert(params, Wanted)
    except msgspec.ValidationError as error:
        raise EvaluationRefused("evaluation_invalid", f"Parameters: {error}.") from error


def _subject_of(parts: CalibrationParts, name: str) -> _Subject:
    gate = parts.gate
    gate.fresh().check_change()
    policy, store = gate.policy(), gate.store
    if store.inventory.record(name).kind != catalogue.KIND:
        raise StateRefused("artifact_kind", f"{name} is no route.")
    digest, route = store.use(name, catalogue.KIND, policy, _silent, catalogue.read_artifact)
    envelope, certificate, answers = parts.certificates.carriable(
        digest, catalogue.terms_of(route.terms), policy
    )
    wanted = certificate.wanted
    tasks = [task_of(store, wanted.small, wanted.small_digest, policy)]
    if any(stage.kind == "task" for stage in route.larger[:1]):
        tasks.append(task_of(store, wanted.larger, wanted.larger_digest, policy))
    digest, dataset = store.use(wanted.dataset, "dataset", policy, _silent, datasets.read_artifact)
    if digest != wanted.dataset_digest:
        raise PolicyRefused("specification_other", f"{wanted.dataset} is {digest} here.")
    return _Subject(
        envelope,
        certificate,
        confidence.read(certificate.found.function),
        replay.read(answers),
        tuple(tasks),
        {item.id: item for item in dataset.splits.get("dev", ())},
        route.small.p_true,
    )


def _carried(parts: CalibrationParts, subject: _Subject, fields: dict[str, Json]) -> str:
    """Sign, record and keep the certificate for this engine; its id."""
    gate, engine = parts.gate, str(fields["engine"])
    made = statements.carry(
        subject.envelope, subject.certificate, engine, gate.clock.wall_us(), gate.evidence()
    )
    found = statements.verify(made, gate.policy()).id
    _recorded(parts, {**fields, "certificate": found})
    return parts.certificates.add(made, gate.policy()).id


def _recorded(parts: CalibrationParts, fields: dict[str, Json]) -> None:
    parts.gate.audit.append(Draft("admin", fields)).result()


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress without a watcher."""
