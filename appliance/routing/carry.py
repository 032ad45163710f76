"""A route's certificate, carried over to another engine: its stages must answer as they did.

Rules: open items with the same answers and acceptance bound a change. The kept outcomes are judged
again, in the fixed order, with the bound that the change leaves at each threshold: the threshold
may rise, never fall. Older certificates, and those whose outcomes are gone, keep theirs or are not
carried over. A carried certificate is watched as its origin is.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import msgspec

from appliance.datasets.items import Item
from appliance.errors import PolicyRefused, StateRefused
from appliance.facts import RouteFacts
from appliance.looks import replay
from appliance.looks.carry import Carriable, CarryOver
from appliance.looks.subject import needs_engine, task_of
from appliance.routing import catalogue, confidence, outcomes
from appliance.routing.calibration import at_place, observe, replayed
from appliance.routing.certifying import Observed
from appliance.routing.confidence import MILLION
from appliance.routing.route_findings import judged
from appliance.routing.subject import CalibrationParts, open_answers
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import (
    ACCEPTED,
    CalibrationFound,
    RouteCertificate,
    RouteSpecification,
)
from appliance.types import Json, silent

TakeAway: TypeAlias = Callable[[str, str, str], None]
"""Suspends a certificate, recorded first: certificate, route, reason."""


class CarriedRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a carry-over."""

    route: str


class RouteCarry(CarryOver[CarriedRoute]):
    """The job of a carry-over.

    Args:
        take_away: suspends a certificate.
    """

    name: ClassVar[str] = "route-carry"
    noun: ClassVar[str] = "route"
    action: ClassVar[str] = "route_carried"
    form = CarriedRoute

    def __init__(self, parts: CalibrationParts, take_away: TakeAway) -> None:
        super().__init__(parts.look, parts.certificates, parts.changed)
        self._parts, self._routes, self._take_away = parts, parts.certificates, take_away

    def engine(self, params: CarriedRoute) -> bool:
        """A classifier alone needs none."""
        try:
            record = self.parts.store.inventory.record_of(self.title(params), RouteFacts)
        except StateRefused:
            return True
        stages = record.facts.stages[:2] if record else ()
        return record is None or needs_engine(self.parts, *(stage.task for stage in stages))

    def carriable(self, name: str, policy: TrustPolicy) -> Carriable:
        """The newest certificate of a route, and its first two stages.

        Raises:
            Refused: `specification_other`, `route_change_unbounded`, `artifact_kind`.
        """
        parts, store, engine = self.parts, self.parts.store, self.parts.engine
        if store.inventory.record(name).kind != catalogue.KIND:
            raise StateRefused("artifact_kind", f"{name} is no route.")
        digest, route = store.use(name, catalogue.KIND, policy, silent, catalogue.read_artifact)
        terms = catalogue.terms_of(route.terms)
        envelope, certificate, answers = self._routes.carriable(digest, terms, policy)
        wanted, found = certificate.wanted, certificate.found
        tasks = [task_of(store, wanted.small, wanted.small_digest, policy)]
        if any(stage.kind == "task" for stage in route.larger[:1]):
            tasks.append(task_of(store, wanted.larger, wanted.larger_digest, policy))
        digest, dev = self.dev(wanted.dataset, policy)
        if digest != wanted.dataset_digest:
            raise PolicyRefused("specification_other", f"{wanted.dataset} is {digest} here.")
        kept = OpenReplay(msgspec.json.decode(answers, type=dict[str, list[str]]), dev, wanted)
        seen = outcomes.of_certificate(self._parts, certificate) if kept.placed else None
        borne, accepted = certificate, certificate.circumstances.accepted
        if seen is not None:
            borne, accepted = judged_again(certificate, kept, seen)
        place = place_of(borne.found)
        before, unflipped = kept.at(place), kept.groups(place)
        statements.check_changes(borne, unflipped)
        stages = [(task, parts.inference(parts.tasks(task))) for task in tasks]
        function, threshold = confidence.read(found.function), borne.found.threshold_micros or 0

        async def ask(label: str, item: Item) -> Json:
            seen = await observe(stages, label, item, p_true=route.small.p_true)
            replay.check_asked(item, seen.unasked)
            return [*at_place(replayed(seen, function, [threshold], larger=len(stages) > 1), 0)]

        def sign() -> tuple[bytes, str]:
            now, key = parts.clock.wall_us(), parts.evidence()
            made = statements.carry(envelope, borne, engine, unflipped, now, key, accepted)
            return made, statements.verify(made, parts.policy()).id

        async def end(flips: int, named: str) -> None:
            reason = f"{engine} does otherwise with {flips} items: {named}"
            await asyncio.to_thread(self._take_away, certificate.origin, name, reason)

        told: dict[str, Json] = {item: [*each] for item, each in before.items()}
        groups, delta = unflipped[ACCEPTED], wanted.delta_micros
        then, now = (each.found.coverage_micros / MILLION for each in (certificate, borne))
        shares = {"coverage": now, "coverage_before": then}
        return Carriable(certificate.id, told, dev, groups, delta, ask, sign, end, shares)


@dataclass(frozen=True)
class OpenReplay:
    """Answers to open items under the certificate's engine."""

    answers: Mapping[str, Sequence[str]]
    items: Mapping[str, Item]
    wanted: RouteSpecification

    @property
    def placed(self) -> bool:
        """True if it has the thresholds that accept an answer; older ones had one."""
        return any(first.isdigit() for _, first, _ in self.answers.values())

    def at(self, place: int) -> dict[str, list[str]]:
        return {item: at_place(each, place) for item, each in self.answers.items()}

    def groups(self, place: int) -> dict[str, int]:
        """Groups that bound a change at a threshold: in all, and accepted."""
        open_ = open_answers(self.items.values(), self.at(place), self.wanted)
        return replay.groups(open_, {"", ACCEPTED})


def place_of(found: CalibrationFound) -> int:
    """Index of the threshold among the fixed ones."""
    fixed = found.thresholds or (found.threshold_micros,)
    return fixed.index(found.threshold_micros)


def judged_again(
    certificate: RouteCertificate, kept: OpenReplay, seen: Sequence[Observed]
) -> tuple[RouteCertificate, tuple[int, ...]]:
    """The certificate with the threshold that bears a change, and the groups that chose it.

    Args:
        seen: the outcomes of the calibration.

    Raises:
        PolicyRefused: `route_change_unbounded`: no threshold does.
    """
    wanted, fixed = certificate.wanted, certificate.found.thresholds
    there = [kept.groups(place) for place in range(len(fixed))]
    accepted, open_ = [each[ACCEPTED] for each in there], there[0][""]
    found = judged(certificate, seen, accepted, open_)
    if found is None:
        change, least = (
            evaluation.change_micros(groups, wanted.delta_micros) / statements.COARSE
            for groups in (open_, accepted[-1])
        )
        raise PolicyRefused(
            "route_change_unbounded",
            f"The same answers to {open_} open groups of dev bound the change at {change:.1f} "
            f"points, of the accepted ones at {least:.1f} at best; no threshold bears that.",
        )
    return replace(certificate, found=found), tuple(accepted[: place_of(found) + 1])
