"""The use-case of an artifact's arrival: from a stick to quarantine, vetted, verified, or refused.

Rules: the entry is durable before the state changes; a refused artifact leaves only a row that says
why; an import that was interrupted after its copy is finished when the data directory opens, an
interrupted copy by the next import. The artifact of a model whose files are missing, as after a
restore without models, repairs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from appliance.errors import Refused, StateRefused, Unavailable
from appliance.facts import table_of
from appliance.registry.audit_entries import REVOKED, SYSTEM, Edges, facts_digest
from appliance.trust.artifacts.copying import Told
from appliance.trust.artifacts.store import Checked, ModelRecord, ModelStore
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Json, Report, silent

UNFINISHED: Final = frozenset({"quarantined", "vetted"})
"""States that only an interrupted import leaves behind."""


@dataclass(eq=False)
class Arrivals:
    """Artifacts on their way in."""

    store: ModelStore
    policy: Callable[[], TrustPolicy]
    fresh: Callable[[], Freshness]
    edges: Edges

    def import_model(
        self,
        actor: str,
        path: Path,
        model_id: str | None,
        progress: Report,
        told: Told = lambda file: None,
    ) -> ModelRecord:
        """Copy an artifact into quarantine, or resume a copy; vet and verify it.

        Args:
            told: gets a line for each file that was copied.

        Returns:
            The record, in state verified, or refused with a code. An artifact that
            cannot be stored (a link inside, an id that is taken) leaves no record.
        """
        policy = self.policy()
        try:
            self.fresh().check_change()
            name = self.store.intake.copy(path, model_id, progress, told)
        except Refused as error:
            shown = ModelRecord(model_id or path.name, "media")
            self.edges.record(actor, shown, "refused", policy, error=error)
            raise
        try:
            self.edges.record(actor, ModelRecord(name, "media"), "quarantined", policy)
        except BaseException:
            self.store.intake.abandon(name)
            raise
        if self._missing(name):
            return self._repair(actor, name, policy, progress)
        return self._examine(actor, self.store.intake.admit(name), policy, progress)

    def _missing(self, model_id: str) -> bool:
        return any(
            r.id == model_id and self.store.inventory.missing(r)
            for r in self.store.inventory.records()
        )

    def _repair(
        self, actor: str, model_id: str, policy: TrustPolicy, progress: Report
    ) -> ModelRecord:
        """Take the files of a model back; decisions about it stay, as far as they hold.

        Raises:
            Refused: it is another artifact, or a check failed; the files are missing as before.
        """
        known = self.store.inventory.record(model_id)
        try:
            self.store.intake.restore(model_id)
            checked = self.store.check(model_id, policy, progress)
            self.store.expect(known, checked.digest)
        except Refused as error:
            self.edges.record(
                actor, known, known.state, policy, event="repair_refused", error=error
            )
            if error.code != "model_id_taken":
                self.store.intake.expel(model_id)  # hostile bytes are not kept
            raise
        except Unavailable:  # it was stopped
            self.store.intake.expel(model_id)
            raise
        state = known.state
        if state == "approved":
            try:
                self.store.ask(model_id, policy)
            except Refused:
                state = "verified"  # signed again, or the policy asks for other people now
        self.edges.record(actor, known, state, policy, event="repair", fields=_said(checked))
        return self.store.inventory.set_state(model_id, state, facts=checked.facts)

    def finish(self, actor: str, model_id: str, progress: Report) -> ModelRecord:
        """Complete the checks of an artifact in quarantine after an interruption; as
        `import_model`.
        """
        return self._examine(actor, self.store.inventory.record(model_id), self.policy(), progress)

    def _examine(
        self, actor: str, record: ModelRecord, policy: TrustPolicy, progress: Report
    ) -> ModelRecord:
        try:
            if record.state == "quarantined":
                facts = self.store.inventory.vet(record.id)
                self.edges.record(actor, record, "vetted", policy)
                record = self.store.inventory.set_state(record.id, "vetted", facts=facts)
            checked = self.store.check(record.id, policy, progress)
        except Refused as error:
            state = "revoked" if error.code in REVOKED else "refused"
            self.edges.record(actor, record, state, policy, error=error)
            refused = self.store.inventory.set_state(
                record.id, state, code=error.code, message=error.message
            )
            self.store.intake.expel(record.id)  # hostile bytes are not kept
            return refused
        found = replace(record, digest=checked.digest)
        self.edges.record(actor, found, "verified", policy, fields=_said(checked))
        return self.store.inventory.set_state(
            record.id, "verified", digest=checked.digest, facts=checked.facts
        )

    def recover(self) -> list[str]:
        """Finish or clean up imports that a crash interrupted; their ids."""
        policy = self.policy()
        touched = self.store.intake.clean()
        for model_id in touched:
            error = StateRefused("import_interrupted", "The import was interrupted.")
            self.edges.record(
                SYSTEM, ModelRecord(model_id, "media"), "refused", policy, error=error
            )
        for record in self.store.inventory.records():
            if record.state in UNFINISHED:
                self._examine(SYSTEM, record, policy, silent)
                touched.append(record.id)
        return touched


def _said(checked: Checked) -> Mapping[str, Json]:
    found = table_of(checked.facts.kept())
    return {"signer": checked.signer, "facts_sha256": facts_digest(found)}
