"""Routes of the names that point at versions of tasks.

Rule: an approver signs a pointer elsewhere; here it is only checked.
"""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.errors import Refused
from appliance.registry.pointing import Pointing
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.statement import Signed
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
    record = _pointing(services).target(name, task)
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
    services.check_heard()
    name = _pointing(services).flip(person.actor, upload.envelope.encode(), services.policy())
    return _shown(services, services.policy(), name)


def _pointing(services: Services) -> Pointing:
    return Pointing(
        services.store,
        services.pointers,
        services.trust.freshness,
        lambda draft: services.audit.append(draft).result(),
    )


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
