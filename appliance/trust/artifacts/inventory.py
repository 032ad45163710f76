"""Contents of the store and their records.

Rules: a file is opened only if the service or root owns it and no other user may write it.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance.errors import SignatureRefused, StateRefused
from appliance.facts import ArtifactFacts, ModelFacts
from appliance.text import visible
from appliance.trust.artifacts import artifact as artifacts
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.artifact import Vetted, VetWhole, vet_model
from appliance.trust.artifacts.intake import missing
from appliance.trust.artifacts.records import (
    ArtifactRecord,
    ModelRecord,
    ModelState,
    Records,
    of_kind,
)
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes import names
from appliance.trust.bytes.directory import Artifact
from appliance.trust.bytes.names import MODEL_ID

K = TypeVar("K", bound=ArtifactFacts)


class Inventory:
    """The artifacts of `DATA/models` and their records.

    Args:
        others: vets artifacts that are no models, by the file that says what they are.
    """

    def __init__(
        self, records: Records, directory: Path, others: Mapping[str, VetWhole] | None = None
    ) -> None:
        self._records = records
        self._directory = directory
        self._others = dict(others or {})

    def missing(self, record: ModelRecord) -> bool:
        return missing(self._directory, record)

    def vet(self, model_id: str) -> Vetted:
        """Vet a new artifact where it is, no matter who signed it."""
        with self.open(model_id) as artifact:
            return artifacts.admitted(self.vet_open(model_id, artifact))

    def vet_open(self, model_id: str, artifact: Artifact) -> Vetted:
        other = self.other(model_id, artifact)
        if other is not None:
            return other(artifact)
        return artifacts.vet_stored(artifact, artifacts.vet_for(model_id))

    def other(self, model_id: str, artifact: Artifact) -> VetWhole | None:
        """Check for an open artifact that is no model; None for a model. Under the id of an adapter
        it is refused (`artifact_kind`).
        """
        name = artifacts.main_file_of(artifact.covered.keys())
        if name not in names.MAIN_FILES:
            return None
        if name not in self._others:
            raise SignatureRefused("model_file_count", "The artifact has 0 GGUF files.")
        if base_of(model_id) is not None:
            raise StateRefused("artifact_kind", f"{model_id} is the id of an adapter.")
        return self._others[name]

    def size(self, model_id: str) -> int:
        """Bytes of the stored model file."""
        with self.open(model_id) as artifact:
            return artifact.sizes[artifacts.model_file_of(artifact.covered.keys())]

    def facts(self, record: ModelRecord) -> ModelFacts:
        """Facts of a vetted model's file, from its record, else from the file."""
        if isinstance(record.facts, ModelFacts) and record.facts.licence is not None:
            return record.facts
        if not record.is_model:
            raise StateRefused("artifact_kind", f"{record.id} is a {record.kind}, not a model.")
        with self.open(record.id) as artifact:
            return artifacts.vet_stored(artifact, vet_model).kept()

    def save(self, record: ModelRecord) -> None:
        self._records.save(record)

    def record(self, model_id: str) -> ModelRecord:
        record = self._records.find(model_id)
        if record is None:
            shown = visible(model_id, limit=80)
            raise StateRefused("unknown_model_id", f"The store has no model {shown}.")
        return record

    def knows(self, model_id: str) -> bool:
        return self._records.find(model_id) is not None

    def records(self) -> list[ModelRecord]:
        return self._records.all()

    def records_of(self, kind: type[K]) -> list[ArtifactRecord[K]]:
        found = (of_kind(record, kind) for record in self._records.all())
        return [record for record in found if record is not None]

    def record_of(self, artifact_id: str, kind: type[K]) -> ArtifactRecord[K] | None:
        """The record of an artifact, unless it is of another kind (`unknown_model_id`)."""
        return of_kind(self.record(artifact_id), kind)

    def approved_of(self, artifact_id: str, kind: type[K]) -> ArtifactRecord[K] | None:
        """None where no approved artifact of this kind has the id."""
        record = self._records.find(artifact_id)
        found = None if record is None else of_kind(record, kind)
        return found if found is not None and found.state == ModelState.APPROVED else None

    def set_state(
        self,
        model_id: str,
        state: str,
        *,
        new_round: bool = False,
        digest: str | None = None,
        code: str | None = None,
        message: str = "",
        facts: Vetted | None = None,
    ) -> ModelRecord:
        """Note a new state; digest and facts stay when they are not given.

        Args:
            new_round: approvals given so far no longer count.
        """
        old = self.record(model_id)
        record = replace(
            old,
            state=state,
            digest=digest or old.digest,
            code=code,
            message=message,
            facts=old.facts if facts is None else facts.kept(),
            round=old.round + new_round,
        )
        self._records.save(record)
        return record

    def discard(self, model_id: str) -> None:
        self._records.delete(model_id)
        if MODEL_ID.fullmatch(model_id):
            directories.remove_tree(self._directory / model_id)

    @contextlib.contextmanager
    def open(self, model_id: str) -> Iterator[Artifact]:
        """Open the stored files of an artifact (`unknown_model_id`, `model_missing`)."""
        if self.missing(record := self.record(model_id)):
            raise StateRefused(
                "model_missing", f"The files of {model_id}, digest {record.digest}, are missing."
            )
        owners = frozenset({os.geteuid(), 0})
        with directories.open_artifact(self._directory / model_id, owners) as artifact:
            yield artifact
