"""Routes of the names that point at versions of tasks.

Rules: a pointer is signed by an approver elsewhere and only checked here; it may name approved
tasks only, all of one form; the entry in the log is durable before the name points elsewhere.
"""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.errors import Refused, StateRefused
from appliance.facts import TaskFacts
from appliance.trust.artifacts.records import ArtifactRecord
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.statement import Signed
from appliance.types import Json
from appliance.wire.admin import pointers as wire

router = Routes()


@router.serves(wire.TASK_NAMES)
def names(services: ServicesDep) -> wire.NameList:
    """All names and what they point at."""
    policy = services.policy()
    return wire.NameList(
        names=[_shown(services, policy, name) for name in services.pointers.names()]
    )


@router.serves(wire.TASK_TARGET)
def target(services: ServicesDep, name: str, task: str) -> wire.Target:
    """Show a pointer's target for this name and task."""
    record = _approved(services, name, task)
    newest = services.pointers.newest(name)
    policy = services.policy()
    told = _shown(services, policy, name).pointers
    return wire.Target(
        name=name,
        task=task,
        digest=record.digest or "",
        previous=newest[0] if newest else "",
        now=told[0] if newest and told and told[0].id == newest[0] else None,
    )


@router.serves(wire.TASK_POINT)
def flip(person: PersonDep, services: ServicesDep, upload: wire.PointerUpload) -> wire.Name:
    """Have a name point elsewhere."""
    services.trust.freshness().check_change()
    policy, envelope = services.policy(), upload.envelope.encode()
    signed = TaskPointer.verify(envelope, policy)
    told = signed.said
    forms = set()
    for version in told.versions():
        record = _approved(services, told.name, version.task)
        if record.digest != version.digest:
            raise StateRefused("artifact_kind", f"{version.task} has the digest {record.digest}.")
        services.store.ask(version.task, policy)
        forms.add(record.facts.form)
    if len(forms) > 1:
        raise StateRefused("artifact_kind", "The versions of a name answer in one form.")
    deed = Draft.deed(
        "task_pointer",
        person.actor,
        name=told.name,
        live=_told(told.live),
        canary=_told(told.canary),
        percent=told.percent,
        shadow=_told(told.shadow),
        person=told.person,
        reason=told.reason,
        pointer=signed.id,
        previous=told.previous,
        envelope=upload.envelope,
    )
    services.pointers.flip(signed, lambda: _recorded(services, deed))
    return _shown(services, policy, told.name)


def _told(version: TaskVersion | None) -> Json:
    return None if version is None else {"task": version.task, "digest": version.digest}


def _recorded(services: Services, draft: Draft) -> None:
    services.audit.append(draft).result()


def _approved(services: Services, name: str, task: str) -> ArtifactRecord[TaskFacts]:
    """The record of a task that a name may point at.

    Raises:
        StateRefused: `unknown_model_id`, `artifact_kind`, `not_approved`, `model_id_taken`.
    """
    if any(record.id == name for record in services.store.inventory.records()):
        raise StateRefused("model_id_taken", f"{name} is the id of an artifact.")
    record = services.store.inventory.record_of(task, TaskFacts)
    if record is None:
        raise StateRefused("artifact_kind", f"{task} is no task.")
    if record.state != "approved":
        raise StateRefused("not_approved", f"{task} is {record.state}, not approved.")
    return record


def _shown(services: Services, policy: TrustPolicy, name: str) -> wire.Name:
    """A name with the pointers whose signers are trusted today."""
    shown = []
    for envelope in services.pointers.history(name):
        try:
            shown.append(_pointer(services, policy, TaskPointer.verify(envelope, policy)))
        except Refused:
            continue
    newest = services.pointers.newest(name)
    holds = bool(newest and shown and shown[0].id == newest[0])
    return wire.Name(name=name, serves=holds and shown[0].live.serves, pointers=shown)


def _pointer(services: Services, policy: TrustPolicy, signed: Signed[TaskPointer]) -> wire.Pointer:
    told = signed.said

    def version(found: TaskVersion) -> wire.Version:
        serves = _serves(services, policy, found)
        return wire.Version(task=found.task, digest=found.digest, serves=serves)

    return wire.Pointer.told_by(
        told,
        id=signed.id,
        live=version(told.live),
        canary=version(told.canary) if told.canary else None,
        shadow=version(told.shadow) if told.shadow else None,
        compared=services.shadows.tally(signed.id) if told.shadow else None,
    )


def _serves(services: Services, policy: TrustPolicy, version: TaskVersion) -> bool:
    try:
        record = services.store.inventory.record(version.task)
        if record.state != "approved" or record.digest != version.digest:
            return False
        services.store.ask(version.task, policy)
    except Refused:
        return False
    return True
