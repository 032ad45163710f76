"""The trust of the data directory, and the artifacts in its store."""

import contextlib
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from appliance.datasets import directory as datasets
from appliance.errors import PolicyRefused
from appliance.governance.trust_updates import TrustState
from appliance.registry.permission import Permission
from appliance.routing import catalogue as routes
from appliance.routing import definition as route_definition
from appliance.tasks import catalogue as tasks
from appliance.tasks import definition as task_definition
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import base_of, vet_adapter
from appliance.trust.artifacts.artifact import VetWhole
from appliance.trust.artifacts.store import ModelStore, load_policy
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.gguf.lora import Lora
from appliance.trust.policy import lab
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.policy.policy_file import marks_key
from appliance.types import silent
from appliance.wiring.directory import check_profile
from appliance.wiring.log import LogRoom
from appliance.workers.engine_build import build_of
from appliance.workers.supervisor import ENGINE, engine_version

_OTHERS: Final[Mapping[str, VetWhole]] = {
    datasets.FILE: datasets.vet,
    task_definition.FILE: tasks.vet,
    route_definition.FILE: routes.vet,
}
"""Vetting of artifacts that are no models, by the file that names their kind."""


class TrustRoom:
    """Puts the parts together, and reads what they keep."""

    def __init__(self, log: LogRoom) -> None:
        held = log.held
        self._held, self._origin = held, log.reader.origin
        self._directory = held.data / "trust"
        self.state = TrustState(self._directory, log.reader, held.clock)
        self.fresh = self.state.freshness
        self.store = ModelStore(
            log.database,
            held.data / "models",
            held.clock,
            _OTHERS,
            held=log.agreement.held("models", owners=["model_approvals"]),
            now_us=self.now_us,
            engine_of=self.engine,
            held_certificates=log.agreement.held("certificates"),
        )
        log.agreement.when_mended(self.store.forget)
        self.permission = Permission(self.store, self.policy, self.fresh, engine_version())

    def policy(self) -> TrustPolicy:
        policy = load_policy(self._directory)
        check_profile(policy.profile, self._origin)
        return policy

    def now_us(self) -> int:
        """The latest time that is known, since the epoch."""
        return self.fresh().latest_us

    def engine(self) -> str:
        """Name, version and build."""
        return f"{ENGINE} {engine_version()} build {build_of()}"

    def grace_days(self) -> int:
        """Days for which too many labels may be missing."""
        return load_policy(self._directory).tasks.grace_days

    def marks_key(self) -> bytes:
        return marks_key(self._directory)

    def evidence_key(self) -> ecdsa.PrivateKey:
        """Signs what gates and calibrations found."""
        following = evidence.following(self._held.data)
        if following is not None:
            with contextlib.suppress(PolicyRefused):  # it waits for the policy
                load_policy(self._directory).evaluator(ecdsa.hint(following.public_key()))
                evidence.advance(self._held.data)
        return evidence.ensure(self._held.data, lab.MARK if self._held.profile == "lab" else b"")

    def template_of(self, model_id: str) -> str:
        """Hex SHA-256; "" for none."""
        signed, facts = self.store.inspect(base_of(model_id) or model_id, self.policy())
        template = signed.template or facts.chat_template
        return sha256(template.encode()).hexdigest() if template else ""

    def tensors_of(self, model_id: str) -> GgufFacts:
        with self.store.inventory.open(model_id) as artifact:
            return artifacts.vet_stored(artifact, artifacts.vet_model)

    def covered(self, model_id: str, covers: Callable[[str, GgufFacts, Lora | None], bool]) -> bool:
        """Answers of a stored model or adapter have the same bits in any company."""
        base, lora = base_of(model_id), None
        if base is not None:
            with self.store.inventory.open(model_id) as artifact:
                lora = artifacts.vet_stored(artifact, vet_adapter).lora
        return covers(base or model_id, self.tensors_of(base or model_id), lora)

    def seal(self, model_id: str) -> VerifiedModel:
        return self.store.seal(model_id, self.policy(), silent)

    def seal_again(self, model: VerifiedModel) -> VerifiedModel:
        return self.store.seal_again(model, self.policy())

    def adapters_of(self, model_id: str) -> list[str]:
        records = self.store.inventory.records()
        return [record.id for record in records if base_of(record.id) == model_id]

    def has(self, name: str) -> bool:
        return any(record.id == name for record in self.store.inventory.records())
