"""Routes of the artifacts: import, approve, load, suspend, retire."""

import contextlib
from typing import Any

from fastapi.responses import Response, StreamingResponse

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.api.admin.stream import stream_job, stream_task
from appliance.app import Services
from appliance.clock import iso
from appliance.errors import CODES, Refused
from appliance.registry.states import actions
from appliance.trust.artifacts.store import ModelRecord
from appliance.types import Report
from appliance.wire.admin import model_texts
from appliance.wire.admin import models as wire
from appliance.wire.admin.results import ArtifactImported
from appliance.workers.memory_estimate import MIB

router = Routes()


def model_of(services: Services, record: ModelRecord) -> wire.Model:
    """A record as the admin socket reports it."""
    model = services.pool.model(record.id)
    needs, idle, load = model.needs, model.idle_seconds, model.attempt
    served = model.served
    why = {}
    if served is not None and served.state == "suspended":  # its files are as they were
        message = f"{served.reason}; `appliance model unload`, then `load`, starts it again"
        hint = CODES["model_suspended"].hint
        why = {"state": "suspended", "code": "model_suspended", "message": message, "hint": hint}
    return wire.Model.told_by(
        record,
        loaded=services.lifecycle.is_loaded(record.id),
        created=iso(record.created_us),
        actions=list(actions(record.state, record.kind)),
        activity=model.activity,
        pinned=model.settings.pinned,
        on_demand=model.settings.on_demand,
        needs_mib=needs.total // MIB if needs else 0,
        waiting=model.waiting,
        last_used=None if idle is None else iso(services.clock.wall_us() - int(idle * 1e6)),
        unloaded=model.unloaded,
        progress=None if load is None else wire.StepProgress.told_by(load),
        **why,
    )


@router.serves(wire.MODELS)
def list_models(services: ServicesDep) -> wire.ModelList:
    """Every artifact in the store."""
    records = services.lifecycle.records()
    return wire.ModelList(models=[model_of(services, record) for record in records])


@router.serves(wire.MODEL_IMPORT)
async def import_model(
    person: PersonDep, services: ServicesDep, wanted: wire.ModelImport
) -> StreamingResponse:
    """Copy, vet and verify an artifact, as a stream of JSON lines."""

    def imported(made: ArtifactImported) -> wire.ModelImported:
        model = model_of(services, services.lifecycle.record(made.id))
        return wire.ModelImported(**model.model_dump(), files=made.files)

    live = await services.jobs.start("import", wanted.model_dump(), person.actor)
    return stream_job(services.jobs, live, ArtifactImported, imported)


@router.serves(wire.MODELS_RECHECK)
async def recheck_models(services: ServicesDep) -> wire.ModelList:
    """Re-hash every approved model and re-check it against the policy; those that failed."""
    found = await services.sweep.run()
    return wire.ModelList(models=[model_of(services, record) for record in found])


@router.serves(wire.MODEL)
def show_model(services: ServicesDep, model_id: str) -> wire.ModelDetail:
    """One artifact with its approvals and the facts of its file."""
    record = services.lifecycle.record(model_id)
    needs = services.pool.model(model_id).needs
    return wire.ModelDetail(
        **model_of(services, record).model_dump(),
        memory=needs.describe() if needs else "",
        **_signed(services, model_id),
        facts=record.facts,
    )


@router.serves(wire.MODEL_BOM)
def show_bom(services: ServicesDep, model_id: str) -> Response:
    """The bill of materials of one artifact: CycloneDX 1.7."""
    from appliance.trust.artifacts import bom  # its library: no start of a server waits for it

    policy = services.policy()
    signed, facts = services.store.inspect(model_id, policy)
    document = bom.make(
        services.lifecycle.record(model_id),
        signed,
        facts,
        services.store.approvals(model_id, policy),
        services.supervisor.engine,
    )
    return Response(document, media_type="application/vnd.cyclonedx+json; version=1.7")


@router.serves(wire.MODEL_SUBJECT)
def show_subject(services: ServicesDep, model_id: str) -> wire.Subject:
    """Show the subject that an approver signs."""
    subject = services.lifecycle.subject(model_id)
    return wire.Subject.told_by(subject, id=model_id)


@router.serves(wire.MODEL_APPROVE)
async def approve_model(
    person: PersonDep, services: ServicesDep, model_id: str, upload: wire.ApprovalUpload
) -> wire.Model:
    """Check and keep one approval."""
    services.check_heard()
    record = await services.pool.approve(person.actor, model_id, upload.envelope.encode())
    return model_of(services, record)


@router.serves(wire.MODEL_LOAD)
async def load_model(person: PersonDep, services: ServicesDep, model_id: str) -> StreamingResponse:
    """Seal, verify and start the model, as a stream of JSON lines."""

    async def work(report: Report) -> wire.Model:
        record = await services.pool.load(person.actor, model_id, report)
        return model_of(services, record)

    return stream_task(work)


@router.serves(wire.MODEL_UNLOAD)
async def unload_model(person: PersonDep, services: ServicesDep, model_id: str) -> wire.Model:
    """End the model's worker."""
    record = await services.pool.unload(person.actor, model_id)
    return model_of(services, record)


@router.serves(wire.MODEL_SUSPEND)
async def suspend_model(
    person: PersonDep, services: ServicesDep, model_id: str, why: wire.Reason
) -> wire.Model:
    """End the model's worker and refuse to start it again."""
    record = await services.pool.suspend(person.actor, model_id, why.reason)
    return model_of(services, record)


@router.serves(wire.MODEL_RETIRE)
async def retire_model(
    person: PersonDep, services: ServicesDep, model_id: str, why: wire.Reason | None = None
) -> wire.Model:
    """Retire the model for good."""
    reason = why.reason if why else ""
    record = await services.pool.retire(person.actor, model_id, reason)
    return model_of(services, record)


@router.serves(wire.MODEL_REVOKE)
async def revoke_model(
    person: PersonDep, services: ServicesDep, model_id: str, why: wire.Reason
) -> wire.Model:
    """End the model for good from any state: it must not be trusted."""
    record = await services.pool.revoke(person.actor, model_id, why.reason)
    return model_of(services, record)


def _signed(services: Services, model_id: str) -> dict[str, Any]:
    """Signer, approvals that count today, grammars; only those that are acceptable."""
    with contextlib.suppress(Refused):
        policy = services.policy()
        signed, approvals = services.store.standing(model_id, policy)
        return {
            "publisher": signed.publisher.person,
            "approvals_needed": policy.approvals_needed(signed.rule),
            "approvals": [wire.Approval.told_by(each) for each in approvals],
            "grammars": [model_texts.Grammar.told_by(each) for each in signed.grammars],
        }
    return {}
