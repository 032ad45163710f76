"""The use-case of a pointer: verified, its tasks checked, recorded, then followed.

Rules: a pointer may name approved tasks only, all of one form; the entry in the log is durable
before the name moves.
"""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.audit.entry import Draft
from appliance.errors import StateRefused
from appliance.facts import TaskFacts
from appliance.trust.artifacts.records import ArtifactRecord
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.pointers import Pointers
from appliance.types import Json


@dataclass(frozen=True)
class Pointing:
    """Moves names to their tasks.

    Attributes:
        record: makes an entry durable.
    """

    store: ModelStore
    pointers: Pointers
    fresh: Callable[[], Freshness]
    record: Callable[[Draft], object]

    def flip(
        self, actor: str, envelope: bytes, policy: TrustPolicy, *, follows: bool = True
    ) -> str:
        """Move a name, and return it.

        Args:
            follows: it must follow the newest pointer of the name here.

        Raises:
            PolicyRefused: as `TaskPointer.verify`; a policy that is too old.
            StateRefused: `pointer_moved`, and as `target`.
        """
        self.fresh().check_change()
        signed = TaskPointer.verify(envelope, policy)
        told = signed.said
        forms = set()
        for version in told.versions():
            record = self.target(told.name, version.task)
            if record.digest != version.digest:
                message = f"{version.task} has the digest {record.digest}."
                raise StateRefused("artifact_kind", message)
            self.store.ask(version.task, policy)
            forms.add(record.facts.form)
        if len(forms) > 1:
            raise StateRefused("artifact_kind", "The versions of a name answer in one form.")
        deed = Draft.deed(
            "task_pointer",
            actor,
            name=told.name,
            live=_told(told.live),
            canary=_told(told.canary),
            percent=told.percent,
            shadow=_told(told.shadow),
            person=told.person,
            reason=told.reason,
            pointer=signed.id,
            previous=told.previous,
            envelope=envelope.decode(),
        )
        self.pointers.flip(signed, lambda: self.record(deed), follows=follows)
        return told.name

    def target(self, name: str, task: str) -> ArtifactRecord[TaskFacts]:
        """The record of a task that a name may point at.

        Raises:
            StateRefused: `unknown_model_id`, `artifact_kind`, `not_approved`, `model_id_taken`.
        """
        if any(record.id == name for record in self.store.inventory.records()):
            raise StateRefused("model_id_taken", f"{name} is the id of an artifact.")
        record = self.store.inventory.record_of(task, TaskFacts)
        if record is None:
            raise StateRefused("artifact_kind", f"{task} is no task.")
        if record.state != "approved":
            raise StateRefused("not_approved", f"{task} is {record.state}, not approved.")
        return record


def _told(version: TaskVersion | None) -> Json:
    return None if version is None else {"task": version.task, "digest": version.digest}
