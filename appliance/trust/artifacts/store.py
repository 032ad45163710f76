"""The model store: which stored artifacts pass, and the way to a verified model.

Rules:
- A record never replaces a check.
- Approvals and certificates are verified again under the policy of the day; where the policy asks
  for an evaluation, an approval binds the certificate's digest.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Engine

from appliance.clock import Clock
from appliance.errors import PolicyRefused, Refused, SignatureRefused, StateRefused
from appliance.facts import TaskFacts
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import VettedAdapter, base_of, vet_adapter
from appliance.trust.artifacts.artifact import F, SignedArtifact, Vet, Vetted, VetWhole, vet_model
from appliance.trust.artifacts.intake import Intake
from appliance.trust.artifacts.inventory import Inventory
from appliance.trust.artifacts.records import ROUNDS, TABLES, ModelRecord, ModelState, Records
from appliance.trust.artifacts.verified import Verified, VerifiedAdapter, VerifiedModel
from appliance.trust.bytes import oms
from appliance.trust.bytes.directory import Artifact
from appliance.trust.gguf.lora import check_shapes
from appliance.trust.policy.policy import EVALUATION, TrustPolicy
from appliance.trust.policy.policy_file import load_policy
from appliance.trust.statements import approvals as approvals_
from appliance.trust.statements.approval import ApprovalSubject, ValidApproval
from appliance.trust.statements.evaluation import OTHER_ENGINE, GateCertificate
from appliance.trust.statements.evaluations import Evaluations, names
from appliance.types import Held, Report, Told, silent

__all__ = [
    "ROUNDS",
    "TABLES",
    "Checked",
    "ModelRecord",
    "ModelState",
    "ModelStore",
    "VerifiedAdapter",
    "VerifiedModel",
    "load_policy",
]

T = TypeVar("T")
_NEVER_AGAIN: Final = frozenset({ModelState.REFUSED, ModelState.RETIRED, ModelState.REVOKED})


@dataclass(frozen=True)
class Checked:
    """A stored artifact that passed.

    Attributes:
        digest: hex OMS root digest.
        signer: hint of the publisher's key.
    """

    digest: str
    signer: str
    facts: Vetted


class ModelStore:
    """The models of one data directory; at most one process has it open. Checks raise
    SignatureRefused, PolicyRefused or GgufRejected.

    Args:
        database: appliance.db with `TABLES`.
        others: as `Inventory`.
        held: ids of artifacts that are not used until a person decides.
        now_us, engine_of, held_certificates: as `Evaluations`.
    """

    def __init__(
        self,
        database: Engine,
        directory: Path,
        clock: Clock,
        others: Mapping[str, VetWhole] | None = None,
        *,
        held: Held = frozenset,
        now_us: Callable[[], int] | None = None,
        engine_of: Callable[[], str] = str,
        held_certificates: Held = frozenset,
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._records = Records(database)
        self._clock = clock
        self.intake = Intake(self._records, directory, clock)
        self.inventory = Inventory(self._records, directory, others)
        self.evaluations = Evaluations(
            database, self._digest_of, now_us or clock.wall_us, engine_of, held_certificates
        )
        self._held = held

    def forget(self) -> None:
        self._records.forget()

    def check(self, model_id: str, policy: TrustPolicy, progress: Report) -> Checked:
        """Verify and vet the stored copy, and an adapter's base; the record stays."""
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
            facts = self.check_artifact(model_id, artifact, signed, policy, progress)
        return Checked(signed.manifest.root, signed.publisher.hint, facts)

    def check_artifact(
        self,
        model_id: str,
        artifact: Artifact,
        signed: SignedArtifact,
        policy: TrustPolicy,
        progress: Report,
    ) -> Vetted:
        other = self.inventory.other(model_id, artifact)
        if other is not None:
            artifacts.check_files(artifact, signed, policy, progress)
            return other(artifact)
        vet = artifacts.vet_for(model_id)
        facts = artifacts.check_stored(artifact, signed, policy, progress, vet)
        if isinstance(facts, VettedAdapter):
            self.check_base(model_id, facts, policy)
        return facts

    def facts(self, task_id: str, policy: TrustPolicy) -> TaskFacts:
        """A stored task's facts from its signed bytes, never the record (`artifact_kind`)."""
        with self.inventory.open(task_id) as artifact:
            signed = self._signed(artifact, task_id, policy)
            found = self.check_artifact(task_id, artifact, signed, policy, silent).kept()
        if not isinstance(found, TaskFacts):
            raise StateRefused("artifact_kind", f"{task_id} is no task.")
        return found

    def use(
        self,
        model_id: str,
        kind: str,
        policy: TrustPolicy,
        progress: Report,
        read: Callable[[Artifact], T],
    ) -> tuple[str, T]:
        """Check an approved artifact that is no model once more (`not_approved`,
        `artifact_changed`); its digest, and the result of `read`.
        """
        record = self.inventory.record(model_id)
        self._check_held(model_id)
        if record.kind != kind:
            shown = record.kind or "artifact that was not vetted"
            raise StateRefused("artifact_kind", f"{model_id} is a {shown}, not a {kind}.")
        if record.state != ModelState.APPROVED:
            raise StateRefused("not_approved", f"{model_id} is {record.state}, not approved.")
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
            self.expect(record, signed.manifest.root)
            self._check_standing(model_id, signed, policy)
            artifacts.check_files(artifact, signed, policy, progress)
            return signed.manifest.root, read(artifact)

    def check_base(self, model_id: str, adapter: VettedAdapter, policy: TrustPolicy) -> None:
        """Check an adapter against its base in the store (`adapter_base_missing`)."""
        base = base_of(model_id) or ""
        try:
            record = self.inventory.record(base)
            if record.digest is None or record.state in _NEVER_AGAIN:
                raise StateRefused("wrong_state", f"{base} is {record.state}.")
            with self.inventory.open(base) as artifact:
                found = artifacts.stored_base(artifact, self._signed(artifact, base, policy))
        except Refused as error:
            raise StateRefused("adapter_base_missing", f"The base: {error.message}") from error
        adapter.base.check(found.root, found.gguf_sha256 or adapter.base.gguf_sha256)
        check_shapes(adapter.lora, found.facts)

    def seal(
        self, model_id: str, policy: TrustPolicy, progress: Report, *, on_disk: bool = False
    ) -> VerifiedModel:
        """Check everything again and hold the model in sealed memory; the caller closes it.

        Args:
            on_disk: hold it where it is instead (`sealed.hold_and_close`).
        """
        verified, facts = self._seal(model_id, policy, progress, vet_model, on_disk)
        return VerifiedModel(**vars(verified), facts=facts)

    def seal_again(self, model: VerifiedModel, policy: TrustPolicy) -> VerifiedModel:
        """Seal a model once more, for a worker that starts again (`artifact_changed`)."""
        again = self.seal(model.id, policy, silent)
        if again.digest != model.digest:
            again.close()
            raise SignatureRefused(
                "artifact_changed", f"{model.id} was {model.digest} and is {again.digest} now."
            )
        return again

    def seal_adapter(
        self, model_id: str, base: VerifiedModel, policy: TrustPolicy, progress: Report
    ) -> VerifiedAdapter:
        """Check everything again, seal the adapter and check it against its loaded base."""
        verified, facts = self._seal(model_id, policy, progress, vet_adapter, False)
        try:
            facts.base.check(base.digest, base.gguf_sha256)
            check_shapes(facts.lora, base.facts)
        except BaseException:
            verified.close()
            raise
        return VerifiedAdapter(**vars(verified), facts=facts)

    def _seal(
        self,
        model_id: str,
        policy: TrustPolicy,
        progress: Report,
        vet_file: Vet[F],
        on_disk: bool,
    ) -> tuple[Verified, F]:
        record = self.inventory.record(model_id)
        self._check_held(model_id)
        if record.state in _NEVER_AGAIN:
            raise StateRefused("wrong_state", f"{model_id} is {record.state}.")
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
            self.expect(record, signed.manifest.root)
            given = self._valid(model_id, signed, policy)
            names = tuple(approval.name for approval in given)
            if "approval" in signed.rule.require:
                policy.check_approvals(names)
            sealed, facts = artifacts.seal(
                artifact, signed, policy, progress, vet_file, on_disk=on_disk
            )
        verified = Verified(
            id=model_id,
            digest=signed.manifest.root,
            gguf_sha256=sealed.sha256,
            sealed=sealed,
            policy_version=policy.version,
            signer=signed.publisher.hint,
            approvers=names,
            bundle=signed.bundle,
            grammars=signed.grammars,
        )
        return verified, facts

    def inspect(self, model_id: str, policy: TrustPolicy) -> tuple[SignedArtifact, Vetted]:
        """The signed artifact and the file's own facts, unhashed."""
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
            return signed, self.inventory.vet_open(model_id, artifact)

    def expect(self, record: ModelRecord, digest: str) -> None:
        """Refuse another artifact than the imported one (`artifact_changed`)."""
        if record.digest not in (None, digest):
            raise SignatureRefused(
                "artifact_changed", f"{record.id} was {record.digest} and is {digest} now."
            )

    def recheck(self, model: Verified, policy: TrustPolicy) -> None:
        """Check a held artifact under a policy again; only its approvals are read from the disk."""
        self._check_held(model.id)
        policy.check_digests(model.digest, model.gguf_sha256)
        policy.signer(model.bundle, self._clock.wall_us(), accepted=True)
        names = [approval.name for approval in self.approvals(model.id, policy)]
        rule = artifacts.rule_of(policy, model.id, model.digest)
        if "approval" in rule.require:
            policy.check_approvals(names)
        if isinstance(model, VerifiedModel):
            policy.check_template(rule, model.facts.chat_template)

    def _check_held(self, model_id: str) -> None:
        """Refuse an artifact that differs from the log."""
        if model_id in self._held():
            raise StateRefused("state_differs", f"{model_id} is not as the log has it.")

    def ask(self, model_id: str, policy: TrustPolicy) -> None:
        """Check a stored artifact's signature and approvals; no file is hashed."""
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
        self._check_standing(model_id, signed, policy)

    def _check_standing(self, model_id: str, signed: SignedArtifact, policy: TrustPolicy) -> None:
        """Check the evaluation and the approvals that the policy asks for (`not_approved`)."""
        if EVALUATION in signed.rule.require:
            self._certificates(model_id, signed, policy, new=False)
        if "approval" in signed.rule.require:
            given = self._valid(model_id, signed, policy)
            policy.check_approvals([approval.name for approval in given])

    def _certificates(
        self, model_id: str, signed: SignedArtifact, policy: TrustPolicy, *, new: bool
    ) -> list[GateCertificate]:
        facts = self.facts(model_id, policy)
        return self.evaluations.valid(signed.manifest.root, facts, policy, new=new)

    def of_other_engine(self, policy: TrustPolicy) -> list[str]:
        """Approved tasks whose evaluation was made with another engine than the one that serves."""
        found = []
        for record in self.inventory.records():
            try:
                if record.state == ModelState.APPROVED and not record.is_model:
                    self.ask(record.id, policy)
            except Refused as error:
                if error.code == OTHER_ENGINE:
                    found.append(record.id)
        return found

    def alarms(self, policy: TrustPolicy) -> list[Told]:
        """Approved tasks whose evaluations expire soon, or that serve on their grace."""
        told: list[Told] = []
        for record in self.inventory.records_of(TaskFacts):
            if record.state != ModelState.APPROVED or record.digest is None:
                continue
            with contextlib.suppress(Refused), self.inventory.open(record.id) as artifact:
                files = artifact.covered.keys()
                if artifacts.needs_evaluation(policy, record.id, record.digest, files):
                    signed = self._signed(artifact, record.id, policy)
                    meanings = [a.meaning for a in self._valid(record.id, signed, policy)]
                    digest, facts = record.digest, record.facts
                    found = self.evaluations.alarms(record.id, digest, facts, policy, meanings)
                    told += [Told(record.id, message) for message in found]
        return told

    def _digest_of(self, artifact_id: str) -> str | None:
        record = self._records.find(artifact_id)
        return None if record is None else record.digest

    def _signed(self, artifact: Artifact, model_id: str, policy: TrustPolicy) -> SignedArtifact:
        record, now = self.inventory.record(model_id), self._clock.wall_us()
        accepted = record.state == ModelState.APPROVED
        return artifacts.check_signature(
            artifact, model_id, policy, now, record.round, accepted=accepted
        )

    def subject(self, model_id: str, policy: TrustPolicy | None = None) -> ApprovalSubject:
        """Subject of this model's approvals (`wrong_state` before verification;
        `artifact_changed`).

        Args:
            policy: where it asks for an evaluation, the newest certificate is part of the subject.
        """
        record = self.inventory.record(model_id)
        if record.digest is None or record.state in _NEVER_AGAIN:
            raise StateRefused("wrong_state", f"{model_id} is {record.state}, not verified.")
        with self.inventory.open(model_id) as artifact:
            data, files = artifact.signature(), artifact.covered.keys()
            root = oms.parse_manifest(oms.parse_bundle(data)).root
        self.expect(record, root)
        wanted = artifacts.subject(root, data, record.round)
        if policy is None or not artifacts.needs_evaluation(policy, model_id, root, files):
            return wanted
        valid = self.evaluations.valid(root, self.facts(model_id, policy), policy, new=True)
        return replace(wanted, certificate=valid[0].id)

    def add_approval(
        self,
        model_id: str,
        envelope: bytes,
        policy: TrustPolicy,
        record: Callable[[ValidApproval, list[ValidApproval]], str | None] = lambda given, all_: (
            None
        ),
    ) -> list[ValidApproval]:
        """Check an approval and keep it; all valid approvals of the model.

        Args:
            record: makes it durable; gets the new one, and all valid ones with it; returns the
                state that the model has from here on, None for the one that it has.

        Raises:
            PolicyRefused: `evaluation_contradicted` where the meaning does not name a gate that the
                task failed after it passed.
        """
        subject = self.subject(model_id, policy)
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
        given = approvals_.accept(
            envelope, self._records.approvals(model_id), policy, subject, signed.publisher
        )
        if subject.certificate is not None:
            for failed in self.evaluations.contradicting(subject.digest, policy):
                if not names(given.meaning, failed):
                    raise PolicyRefused(
                        "evaluation_contradicted",
                        f"A later gate failed on {failed.wanted.dataset}: {failed.id}.",
                    )
            certificates = self._certificates(model_id, signed, policy, new=True)
            _check_distinct(policy, given, certificates[0])
        kept = self._records.approvals(model_id, but=given.key)  # of another certificate
        valid = self._valid(model_id, signed, policy, [*kept, envelope])
        self._records.add_approval(model_id, given.key, envelope, record(given, valid))
        return valid

    def standing(
        self, model_id: str, policy: TrustPolicy
    ) -> tuple[SignedArtifact, list[ValidApproval]]:
        """The signed artifact, unhashed, and the approvals that count."""
        with self.inventory.open(model_id) as artifact:
            signed = self._signed(artifact, model_id, policy)
        return signed, self._valid(model_id, signed, policy)

    def _valid(
        self,
        model_id: str,
        signed: SignedArtifact,
        policy: TrustPolicy,
        envelopes: list[bytes] | None = None,
    ) -> list[ValidApproval]:
        """The approvals that count: where an evaluation is asked for, those of the certificate that
        most people approved, or of the one that it carries over to this engine.

        Args:
            envelopes: None for those that are kept.
        """
        if envelopes is None:
            envelopes = self._records.approvals(model_id)
        if EVALUATION not in signed.rule.require:
            return approvals_.valid(envelopes, policy, signed.subject, signed.publisher)
        best: list[ValidApproval] = []
        try:
            certificates = self._certificates(model_id, signed, policy, new=False)
        except Refused:
            return best
        for certificate in certificates:
            given: list[ValidApproval] = []
            for bound in filter(None, (certificate.id, certificate.circumstances.carried_from)):
                subject = replace(signed.subject, certificate=bound)
                valid = approvals_.valid(envelopes, policy, subject, signed.publisher)
                given += [a for a in valid if a.name not in {b.name for b in given}]
            distinct = [
                a for a in given if policy.may_approve_after(policy.keys[a.key], certificate.person)
            ]
            best = max(best, distinct, key=len)
        return best

    def envelopes(self, model_id: str | None = None) -> list[bytes]:
        return self._records.approvals(model_id)

    def approvals(self, model_id: str, policy: TrustPolicy) -> list[ValidApproval]:
        """The approvals that count, one per person, by time."""
        return self.standing(model_id, policy)[1]


def _check_distinct(
    policy: TrustPolicy, given: ValidApproval, certificate: GateCertificate
) -> None:
    """Refuse an approver who specified the evaluation."""
    if not policy.may_approve_after(policy.keys[given.key], certificate.person):
        raise PolicyRefused(
            "approver_not_distinct", f"{given.name} signed the specification of the evaluation."
        )
