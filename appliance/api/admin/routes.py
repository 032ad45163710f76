"""Routes of routes: terms of a calibration, certificates, samples, labels.

Rules: a calibration is a job; no route reads a sealed split; a certificate's suspension is
recorded first and final.
"""

import asyncio
import json
from functools import partial

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.api.admin.gates import seal_of
from appliance.app import Services
from appliance.audit.appending import append
from appliance.audit.entry import Draft
from appliance.clock import iso
from appliance.datasets import capture
from appliance.datasets import ledger as ledgers
from appliance.errors import (
    AuditRefused,
    BadRequest,
    NotFound,
    PolicyRefused,
    Refused,
    StateRefused,
)
from appliance.evals import scoring
from appliance.facts import RouteFacts
from appliance.routing.answering import DEFERRED
from appliance.routing.deferring import form_of
from appliance.routing.monitor import Sample
from appliance.tasks.loaded import LoadedTask
from appliance.trust.artifacts.records import ArtifactRecord, ModelState
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.route import RouteCertificate as Statement
from appliance.trust.statements.specification import MILLION
from appliance.types import JsonValue
from appliance.wire.admin import routes as wire

router = Routes()


@router.serves(wire.ROUTES)
def routes(services: ServicesDep) -> wire.RouteList:
    """All routes of the store."""
    policy = services.policy()
    found = services.store.inventory.records_of(RouteFacts)
    return wire.RouteList(routes=[_shown(services, policy, record) for record in found])


@router.serves(wire.ROUTE_PLAN)
def plan(services: ServicesDep, wanted: wire.RoutePlanWanted) -> wire.RoutePlan:
    """The terms of a specification, from what is stored."""
    record, data = _record(services, wanted.route), services.store.inventory.record(wanted.dataset)
    seal = seal_of(services, wanted.dataset)
    part = seal.parts.get(wanted.split)
    if part is None or data.digest is None:
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no sealed {wanted.split}.")
    stages = [stage for stage in record.facts.stages if stage.kind != "queue"]
    larger = stages[1] if len(stages) > 1 else None
    looks = services.ledger.looks(part.marks)
    schedule = ledgers.schedule(looks, seal.schedule)
    return wire.RoutePlan(
        route=record.id,
        route_digest=record.digest or "",
        dataset=data.id,
        dataset_digest=data.digest,
        split=wanted.split,
        small=stages[0].task,
        small_digest=stages[0].digest,
        larger=larger.task if larger else "",
        larger_digest=larger.digest if larger else "",
        **record.facts.terms,
        looks=ledgers.LOOKS,
        looks_left=len(ledgers.remaining(looks, seal.schedule, record.digest or "")),
        schedule=[] if schedule == ledgers.QUARTERS else list(schedule),
        groups=part.groups,
        items=part.items,
        weight=record.facts.weight or "answers",
    )


@router.serves(wire.ROUTE)
def one(services: ServicesDep, route: str) -> wire.Route:
    """One route, with its certificates as they were signed."""
    policy = services.policy()
    shown, kept = _shown(services, policy, _record(services, route)), services.routes.certificates
    signed = [
        each.model_copy(update={"envelope": (kept.envelope(each.id) or b"").decode()})
        for each in shown.certificates
    ]
    return shown.model_copy(update={"certificates": signed})


@router.serves(wire.ROUTE_SUSPEND)
async def suspend(
    person: PersonDep, services: ServicesDep, route: str, wanted: wire.Suspend
) -> wire.Route:
    """Suspend the newest certificate of a route."""
    record, policy = _record(services, route), services.policy()
    found = services.routes.certificates.of(record.digest or "", policy)
    if not found or not found[0].found.certified:
        raise PolicyRefused("route_not_certified", f"{route} has no certificate to take away.")
    deed = Draft.deed(
        "route_suspended",
        person.actor,
        route=record.id,
        digest=record.digest,
        certificate=found[0].id,
        reason=wanted.reason,
    )
    await append(services.audit, deed)
    services.routes.suspend(found[0].id, wanted.reason)
    return _shown(services, policy, record)


@router.serves(wire.ROUTE_SAMPLE)
async def sample(person: PersonDep, services: ServicesDep, route: str) -> wire.SampleToLabel:
    """The oldest accepted answer that waits for a label: its input, not what was answered.

    That a person reads it is recorded first.
    """
    record = _record(services, route)
    found = await asyncio.to_thread(services.monitors.next, record.id)
    if found is None:
        return wire.SampleToLabel(id=0, input={}, labels=[], due="")
    form = form_of(await _small(services, record))
    shown = await asyncio.to_thread(_input, services, found)
    deed = Draft.deed(
        "sample_read",
        person.actor,
        route=record.id,
        sample=found.id,
        request_id=found.request_id,
    )
    await append(services.audit, deed)
    schema = None if form.schema is None else dict(form.schema)
    labels = list(form.labels)
    return wire.SampleToLabel(id=found.id, input=shown, labels=labels, form=schema, due=found.due)


@router.serves(wire.ROUTE_LABEL)
async def label(
    person: PersonDep, services: ServicesDep, route: str, given: wire.LabelGiven
) -> wire.Route:
    """Keep a person's label of an accepted answer; that it was given is recorded first."""
    record = _record(services, route)
    loaded = await _small(services, record)
    said = _said(loaded, given.label)
    deed = Draft.deed("route_label", person.actor, route=record.id, sample=given.id)
    await append(services.audit, deed)
    monitors, same = services.monitors, partial(_same, loaded, said)
    await asyncio.to_thread(monitors.label, record.id, given.id, said, person.actor, same)
    await asyncio.to_thread(monitors.settle)
    return _shown(services, services.policy(), record)


async def _small(services: Services, record: ArtifactRecord[RouteFacts]) -> LoadedTask:
    return await services.inference.parts.tasks.open(record.facts.stages[0].task)


def _said(loaded: LoadedTask, label: str) -> str:
    """A person's answer as one text; `item_unknown` for no answer."""
    form = form_of(loaded)
    try:
        answer = label if form.schema is None else json.loads(label)
        form.check(answer)
    except (BadRequest, ValueError, RecursionError) as error:
        raise StateRefused(
            "item_unknown", f"{label[:80]!r} is no answer of {loaded.task.id}."
        ) from error
    return label if form.schema is None else scoring.canonical(answer)


def _same(loaded: LoadedTask, said: str, answer: str) -> bool:
    """True if `said` makes an answer right."""
    try:
        return scoring.score(loaded.task, said, answer) == 1
    except ValueError:  # a text that stands for a pattern and is none
        return said == answer


def _input(services: Services, found: Sample) -> dict[str, JsonValue]:
    try:
        intent, _ = services.reader.find_request(found.request_id, found.key_id)
        prompt = services.reader.content(intent.seq, "prompt")
    except (AuditRefused, NotFound):
        return {}
    item = capture.item(found.request_id, "app", intent.time_us, prompt, masks=False)
    return {} if item is None else dict(item.input)


def _record(services: Services, route: str) -> ArtifactRecord[RouteFacts]:
    record = services.store.inventory.record_of(route, RouteFacts)
    if record is None or record.digest is None:
        raise StateRefused("artifact_kind", f"{route} is no route that was verified.")
    return record


def _shown(
    services: Services, policy: TrustPolicy, record: ArtifactRecord[RouteFacts]
) -> wire.Route:
    certificates, shares = services.routes.certificates, services.inference.shares
    facts, digest = record.facts, record.digest or ""
    state = services.lifecycle.shown(record).state
    why = "model_missing" if state == "missing" else "not_approved"
    if state == ModelState.APPROVED:
        try:
            certificates.valid(digest, facts.terms, policy)
            why = ""
        except Refused as error:
            why = error.code
    known = certificates.of(digest, policy)
    watched = services.monitors.standing(known[0].origin) if known else None
    return wire.Route.told_by(
        facts,
        id=record.id,
        state=state,
        digest=digest,
        certified=not why,
        why=why,
        stages=[wire.Stage.told_by(s, answers=shares[record.id, s.name]) for s in facts.stages],
        deferred=shares[record.id, DEFERRED],
        certificates=[_certificate(services, each) for each in known],
        watched=watched,
        on_drift=facts.on_drift or "suspend",
        weight=facts.weight or "answers",
        group_from=facts.group_from or "",
    )


def _certificate(services: Services, statement: Statement) -> wire.CalibrationCertificate:
    wanted, found, at = statement.wanted, statement.found, statement.circumstances
    threshold = found.threshold_micros
    return wire.CalibrationCertificate.told_by(
        found,
        id=statement.id,
        verdict="certified" if found.certified else "not_certifiable",
        threshold=None if threshold is None else threshold / MILLION,
        coverage=found.coverage_micros / MILLION,
        limit=found.limit_micros / MILLION,
        alpha=wanted.error_micros / MILLION,
        delta=wanted.delta_micros / MILLION,
        identity=at.identity,
        dataset=wanted.dataset,
        person=wanted.name,
        issued=iso(at.issued_us),
        valid_until=iso(at.valid_until_us),
        suspended=services.routes.certificates.why_suspended(statement) or "",
        weight=wanted.weight or "groups",
    )
