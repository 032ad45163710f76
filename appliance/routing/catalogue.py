"""The approved routes, and the certificates that let their first stages answer.

Rules: an approved route is checked again, from its stored bytes on, when its record changes and
every few seconds while requests come. A route with any fault in its certificate defers.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from appliance.clock import iso
from appliance.errors import PolicyRefused, Refused
from appliance.facts import RouteFacts, StageFacts, TaskFacts
from appliance.routing import confidence, definition
from appliance.routing.confidence import MILLION, Confidence
from appliance.routing.definition import RouteDefinition, Terms
from appliance.tasks.catalogue import Tasks
from appliance.text import percent
from appliance.trust.artifacts.artifact import VettedWhole
from appliance.trust.artifacts.records import ArtifactRecord, ModelState
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.bytes.directory import Artifact
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.route import RouteCertificate
from appliance.trust.statements.route_certificates import RouteCertificates
from appliance.types import ModelCard, Told, silent

KIND: Final = "route"
FRESH_S: Final = 5.0
"""Seconds after which a standing is looked up again."""


@dataclass(frozen=True)
class RouteStanding:
    """A route, and what lets its first stage answer.

    Attributes:
        policy: version of the verifying trust policy.
        certificate, function: None where nothing lets it answer.
        why: code of the reason for that; "" otherwise.
    """

    route: RouteDefinition
    digest: str
    policy: int
    certificate: RouteCertificate | None = None
    function: Confidence | None = None
    why: str = ""


def read_artifact(artifact: Artifact) -> RouteDefinition:
    """Raises TaskRefused (`route_invalid`)."""
    return definition.parse(artifact.prefix(definition.FILE, definition.MAX_BYTES + 1))


def vet(artifact: Artifact) -> VettedWhole[RouteFacts]:
    """The facts of a route's record; raises as `read_artifact`."""
    route = read_artifact(artifact)
    facts = RouteFacts(
        name=route.id,
        version=route.version,
        description=route.description,
        stages=tuple(
            StageFacts(s.name, s.kind, s.task or "", s.digest or "", s.upstream or "")
            for s in route.stages
        ),
        on_defer=route.on_defer,
        on_drift=route.on_drift,
        weight=route.weight,
        group_from=route.group_from,
        **terms_of(route.terms),
    )
    return VettedWhole(facts)


def terms_of(terms: Terms) -> dict[str, int]:
    """The terms of a route in millionths."""
    return {
        "error_micros": round(terms.error * MILLION),
        "delta_micros": round(terms.delta * MILLION),
        "margin_micros": round(terms.margin * MILLION),
    }


class ApprovedRoutes:
    """The approved routes.

    Args:
        covered: whether answers of a model have the same bits in any company, here and now.
    """

    def __init__(
        self,
        store: ModelStore,
        policy: Callable[[], TrustPolicy],
        certificates: RouteCertificates,
        tasks: Tasks,
        covered: Callable[[str], bool],
    ) -> None:
        self._store, self._policy, self._tasks = store, policy, tasks
        self.certificates = certificates
        self._covered = covered
        self._alike: dict[str, bool] = {}
        self._known: dict[str, tuple[ArtifactRecord[RouteFacts], float, RouteStanding]] = {}

    def cards(self) -> list[ModelCard]:
        records = self._store.inventory.records_of(RouteFacts)
        return [self._card(record) for record in records if self._serves(record)]

    def card(self, route_id: str) -> ModelCard | None:
        record = self._record(route_id)
        return None if record is None else self._card(record)

    async def standing(self, route_id: str) -> RouteStanding:
        """Raises Refused: what a check of the store finds."""
        record = self._record(route_id)
        known = self._known.get(route_id)
        if known is not None and known[0] == record and time.monotonic() - known[1] < FRESH_S:
            return known[2]
        found = await asyncio.to_thread(self._look, route_id)
        if record is not None:
            self._known[route_id] = record, time.monotonic(), found
        return found

    def of_other_engine(self, policy: TrustPolicy) -> list[str]:
        found = []
        for record in filter(self._serves, self._store.inventory.records_of(RouteFacts)):
            terms = record.facts.terms
            if self.certificates.of_other_engine(record.digest or "", terms, policy):
                found.append(record.id)
        return found

    def suspend(self, certificate_id: str, reason: str) -> None:
        self.certificates.suspend(certificate_id, reason)
        self._known.clear()

    def ending_with_drift(self, task_id: str) -> list[tuple[str, str]]:
        """Certificates that an alarm on a task ends, with their routes. Blocks.

        Raises PolicyRefused: the trust policy cannot be read.
        """
        policy, found = self._policy(), []
        for record in self._beginning_with(task_id):
            if record.facts.on_drift == "warn":
                continue
            for newest in self.certificates.of(record.digest or "", policy)[:1]:
                if newest.found.certified and self.certificates.why_suspended(newest) is None:
                    found.append((newest.id, record.id))
        return found

    def holding(self, task_id: str) -> list[RouteCertificate]:
        """Certificates in use whose first stage is the task. Blocks."""
        policy, found = self._policy(), []
        for record in self._beginning_with(task_id):
            digest, terms = record.digest or "", record.facts.terms
            if record.state == ModelState.APPROVED:
                with contextlib.suppress(Refused):
                    found.append(self.certificates.valid(digest, terms, policy))
        return found

    def alarms(self, policy: TrustPolicy) -> list[Told]:
        found = []
        for record in self._store.inventory.records_of(RouteFacts):
            if record.state == ModelState.APPROVED:
                for newest in self.certificates.of(record.digest or "", policy)[:1]:
                    reason = self.certificates.why_suspended(newest)
                    if reason is not None:
                        message = f"The certificate of route {record.id} is suspended: {reason}"
                        found.append(Told(record.id, message))
        return found

    def forget(self) -> None:
        self._known.clear()

    def _beginning_with(self, task_id: str) -> list[ArtifactRecord[RouteFacts]]:
        routes = self._store.inventory.records_of(RouteFacts)
        return [record for record in routes if record.facts.stages[0].task == task_id]

    def _record(self, route_id: str) -> ArtifactRecord[RouteFacts] | None:
        record = self._store.inventory.approved_of(route_id, RouteFacts)
        return record if record is not None and self._serves(record) else None

    def _serves(self, record: ArtifactRecord[RouteFacts]) -> bool:
        approved = record.state == ModelState.APPROVED
        return approved and not self._store.inventory.missing(record)

    def _card(self, record: ArtifactRecord[RouteFacts]) -> ModelCard:
        stages = record.facts.stages
        entry = self._tasks.entry(stages[0].task)
        form, cites = (entry.form, entry.citations) if entry is not None else ("labels", None)
        created = record.created_us // 1_000_000
        asked = tuple(stage.upstream or stage.task for stage in stages)
        return ModelCard(
            record.id, record.digest or "", 0, created, form=form, stages=asked, citations=cites
        )

    def _look(self, route_id: str) -> RouteStanding:
        policy = self._policy()
        digest, route = self._store.use(route_id, KIND, policy, silent, read_artifact)
        route = msgspec.structs.replace(route, id=route_id)
        try:
            certificate = self.certificates.valid(digest, terms_of(route.terms), policy)
            check_small(certificate, route)
            self._check_company(certificate)
            function = confidence.read(certificate.found.function)
        except Refused as error:
            return RouteStanding(route, digest, policy.version, why=error.code)
        return RouteStanding(route, digest, policy.version, certificate, function)

    def _check_company(self, certificate: RouteCertificate) -> None:
        """Refuse a certificate without room for other requests where they move its scores."""
        task = self._store.inventory.record_of(certificate.wanted.small, TaskFacts)
        if certificate.found.company or task is None or task.facts.candidate == "classifier":
            return
        model = task.facts.model
        digest = self._store.inventory.record(model).digest or ""
        if digest not in self._alike:
            self._alike[digest] = self._covered(model)
        if not self._alike[digest]:
            raise PolicyRefused(
                "route_certificate_other",
                f"It has no room for other requests, and here they move how sure {model} is:"
                " calibrate the route on this host.",
            )


def check_small(certificate: RouteCertificate, route: RouteDefinition) -> None:
    """Refuse a certificate whose first stage or rules are others. Raises PolicyRefused."""
    wanted, small = certificate.wanted, route.small
    if (wanted.small, wanted.small_digest) != (small.task, small.digest):
        raise PolicyRefused("route_certificate_other", f"Its first stage is {wanted.small}.")
    if route.rules and certificate.found.reach_micros is None:
        raise PolicyRefused(
            "route_certificate_other",
            "It was measured without the rules of the route: calibrate the route again.",
        )


def describe(certificate: RouteCertificate) -> str:
    """A certificate in a sentence."""
    found, until = certificate.found, iso(certificate.circumstances.valid_until_us)
    if not found.certified:
        return f"not certifiable: {found.reason}"
    return (
        f"certified: at most {percent(certificate.wanted.error_micros / MILLION)} of accepted "
        f"answers are wrong, {percent(found.coverage_micros / MILLION)} of the "
        f"{certificate.wanted.weight or 'groups'} accepted, {found.groups} groups, "
        f"until {until}"
    )
