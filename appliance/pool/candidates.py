"""The approved models of the store: their memory, and whether a request may load them.

Rules: an adapter is no model here: its memory counts for the base.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from appliance.config import Config
from appliance.errors import Refused
from appliance.facts import AdapterFacts, ModelFacts
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.records import ArtifactRecord, followers
from appliance.trust.artifacts.store import ModelRecord, ModelStore
from appliance.types import ModelCard
from appliance.workers.memory_estimate import Estimate, adapter_bytes, longest_text
from appliance.workers.supervisor import Supervisor


class Catalogue:
    """Models that could be loaded."""

    def __init__(self, config: Config, store: ModelStore, supervisor: Supervisor) -> None:
        self._config = config
        self._store = store
        self._supervisor = supervisor
        self._read: dict[str, ModelFacts] = {}  # by digest

    def approved(self, model_id: str | None = None) -> Iterator[ModelRecord]:
        for record in self._store.inventory.records():
            wanted = base_of(record.id) is None and model_id in (None, record.id)
            if (
                wanted
                and record.is_model
                and record.state == "approved"
                and not self._store.inventory.missing(record)
            ):
                yield record

    def missing(self, model_id: str) -> bool:
        found = (record for record in self._store.inventory.records() if record.id == model_id)
        return any(r.state == "approved" and self._store.inventory.missing(r) for r in found)

    def suspended(self, artifact_id: str) -> str | None:
        for record in self._store.inventory.records():
            if record.id == artifact_id and record.state == "suspended":
                return record.message
        return None

    def suspended_models(self) -> set[str]:
        records = self._store.inventory.records()
        return {record.id for record in records if record.is_model and record.state == "suspended"}

    def fits(self, model_id: str) -> bool:
        """True if a request may load a model, once others have made room."""
        return any(self.loadable(model_id))

    def loadable(self, model_id: str | None = None) -> Iterator[ModelRecord]:
        for record in self.approved(model_id):
            if self._config.model(record.id).on_demand and self._fits(record):
                yield record

    def estimate(self, model_id: str) -> Estimate | None:
        """None when a model's memory is unknown; its load will report why."""
        with contextlib.suppress(Refused):
            facts = self._facts(self._store.inventory.record(model_id))
            return self._supervisor.estimate(model_id, facts, self._adapters(model_id))
        return None

    def _facts(self, record: ModelRecord) -> ModelFacts:
        """The record's facts; read from the file once where another release wrote the record."""
        if record.digest is None:
            return self._store.inventory.facts(record)
        if record.digest not in self._read:
            self._read[record.digest] = self._store.inventory.facts(record)
        return self._read[record.digest]

    def size(self, model_id: str) -> int:
        needs = self.estimate(model_id)
        return needs.total if needs else 0

    def followers(self, model_id: str) -> list[ArtifactRecord[AdapterFacts]]:
        return [
            record
            for record in followers(self._store.inventory.records(), model_id)
            if self._config.model(record.id).autoload and not self._store.inventory.missing(record)
        ]

    def _adapters(self, model_id: str) -> int:
        return sum(adapter_bytes(r.facts.file_bytes) for r in self.followers(model_id))

    def cards(self, record: ModelRecord) -> list[ModelCard]:
        base = self.card(record)
        return [
            base,
            *(
                replace(
                    base, id=r.id, digest=r.digest or "", parent=base.id, base_digest=base.digest
                )
                for r in self.followers(record.id)
            ),
        ]

    def card(self, record: ModelRecord) -> ModelCard:
        facts, settings = self._facts(record), self._config.model(record.id)
        return ModelCard(
            id=record.id,
            digest=record.digest or "",
            n_ctx=longest_text(facts, settings),
            created=record.created_us // 1_000_000,
            kind=facts.kind,
            n_embd=facts.n_embd,
            loaded=False,
            licence=facts.licence or "",
        )

    def _fits(self, record: ModelRecord) -> bool:
        pinned = sum(
            size
            for model, size in self._supervisor.budget
            if model != record.id and self._config.model(model).pinned
        )
        return self.size(record.id) + pinned <= self._supervisor.budget.total
