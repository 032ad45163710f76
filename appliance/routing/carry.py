"""A route's certificate, carried over: the stages that are computed here must answer as they did.

The same of their answers must be accepted, too. What is carried over is watched as what it came
from.
"""

import asyncio
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import msgspec

from appliance.datasets.items import Item
from appliance.errors import PolicyRefused, StateRefused
from appliance.facts import RouteFacts
from appliance.looks import replay
from appliance.looks.carry import Carriable, CarryOver
from appliance.looks.subject import needs_engine, silent, task_of
from appliance.routing import catalogue, confidence
from appliance.routing.calibration import observe, replayed
from appliance.routing.subject import CalibrationParts, open_answers
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import ACCEPTED
from appliance.types import Json

TakeAway: TypeAlias = Callable[[str, str, str], None]
"""Takes a certificate out of use, recorded first: certificate, route, reason."""


class CarriedRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters: the id of the route."""

    route: str


class RouteCarry(CarryOver[CarriedRoute]):
    """Has the engine that serves do with open items what was certified under another one.

    Args:
        take_away: takes a certificate out of use.
    """

    name: ClassVar[str] = "route-carry"
    noun: ClassVar[str] = "route"
    action: ClassVar[str] = "route_carried"
    form = CarriedRoute

    def __init__(self, parts: CalibrationParts, take_away: TakeAway) -> None:
        super().__init__(parts.look, parts.certificates, parts.changed)
        self._routes, self._take_away = parts.certificates, take_away

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
            PolicyRefused: what `RouteCertificates.carriable` raises, `route_change_unbounded`,
                `specification_other`; what a check of the store finds.
            StateRefused: `artifact_kind`.
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
        before = msgspec.json.decode(answers, type=dict[str, list[str]])
        unflipped = replay.groups(open_answers(dev.values(), before, wanted), {"", ACCEPTED})
        statements.check_changes(certificate, unflipped)
        stages = [(task, parts.inference(parts.tasks(task))) for task in tasks]
        function, threshold = confidence.read(found.function), found.threshold_micros or 0

        async def ask(label: str, item: Item) -> Json:
            seen = await observe(stages, label, item, p_true=route.small.p_true)
            replay.check_asked(item, seen.unasked)
            return [*replayed(seen, function, threshold, larger=len(stages) > 1)]

        def sign() -> tuple[bytes, str]:
            now, key = parts.clock.wall_us(), parts.evidence()
            made = statements.carry(envelope, certificate, engine, unflipped, now, key)
            return made, statements.verify(made, parts.policy()).id

        async def end(flips: int, named: str) -> None:
            reason = f"{engine} does otherwise with {flips} items: {named}"
            await asyncio.to_thread(self._take_away, certificate.origin, name, reason)

        told: dict[str, Json] = {item: [*each] for item, each in before.items()}
        groups, delta = unflipped[ACCEPTED], wanted.delta_micros
        return Carriable(certificate.id, told, dev, groups, delta, ask, sign, end)
