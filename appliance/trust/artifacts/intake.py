"""The way into the store: an artifact is copied whole, or it is no model.

Rules: a copy becomes a model in one rename, with a record. The next import of the same artifact
resumes an interrupted copy; `clean` removes one that cannot be resumed or is older than
`KEPT_DAYS`. A model whose files are missing takes only the very artifact of its record, and keeps
its approvals.
"""

import os
import threading
from pathlib import Path
from typing import Final

from appliance.clock import Clock
from appliance.errors import SignatureRefused, StateRefused
from appliance.text import visible
from appliance.trust.artifacts import copying
from appliance.trust.artifacts.copying import Told
from appliance.trust.artifacts.records import ModelRecord, ModelState, Records
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes import names, oms
from appliance.trust.bytes.encrypting import encrypt_artifact
from appliance.trust.bytes.names import MODEL_ID
from appliance.types import Report

KEPT_DAYS: Final = 7
_PART: Final = ".part"
_KEPT: Final = frozenset({ModelState.VERIFIED, ModelState.APPROVED, ModelState.SUSPENDED})
"""States in which a model has files."""
_DAY_US: Final = 86_400_000_000


def missing(directory: Path, record: ModelRecord) -> bool:
    """True if a model in `DATA/models` should have files and they are gone."""
    return record.state in _KEPT and not os.path.lexists(directory / record.id)


class Intake:
    """Copies artifacts into `DATA/models`."""

    def __init__(self, records: Records, directory: Path, clock: Clock) -> None:
        self._records = records
        self._directory = directory
        self._clock = clock
        self._copying: set[str] = set()  # until they are admitted or given up
        self._guard = threading.Lock()

    def copy(
        self,
        source: Path,
        model_id: str | None,
        progress: Report,
        told: Told = lambda file: None,
    ) -> str:
        """Copy an artifact next to the store's models, unchecked (`invalid_model_id`,
        `model_id_taken`).

        Args:
            model_id: by default the name of the directory. The id of a refused model may be used
                again, and that of a model whose files are missing.

        Returns:
            The id, for `admit`, `restore` or `abandon`.
        """
        name = source.absolute().name if model_id is None else model_id
        if not MODEL_ID.fullmatch(name) or name.endswith(_PART):
            raise StateRefused("invalid_model_id", f"{visible(name, limit=80)!r} cannot be an id.")
        self._check_free(name)
        self._take(name)
        try:
            with directories.open_artifact(source) as artifact:
                copying.copy_artifact(artifact, self._part(name), progress, told)
        except BaseException:
            self._leave(name)
            raise
        try:
            self._check_free(name)  # another import may have finished before the copy was ours
        except StateRefused:
            self.abandon(name)
            raise
        return name

    def admit(self, model_id: str) -> ModelRecord:
        """Make a copy a model in quarantine."""
        part, final = self._part(model_id), self._directory / model_id
        try:
            encrypt_artifact(part)
            directories.remove_tree(final)
            part.rename(final)
        except BaseException:
            self.abandon(model_id)
            raise
        self._leave(model_id)
        directories.sync_directory(self._directory)
        record = ModelRecord(model_id, ModelState.QUARANTINED, created_us=self._clock.wall_us())
        self._records.save(record, fresh=True)
        return record

    def quarantine(self, source: Path, model_id: str | None, progress: Report) -> ModelRecord:
        return self.admit(self.copy(source, model_id, progress))

    def restore(self, model_id: str) -> ModelRecord:
        """Give an unchecked copy to the model of this id whose files are missing; its record stays.
        Another artifact is removed (`model_id_taken`).
        """
        part, record = self._part(model_id), self._records.find(model_id)
        try:
            if record is None or not missing(self._directory, record):
                raise StateRefused("model_id_taken", f"{model_id} is in use.")
            if _stated_digest(part) != record.digest:
                raise StateRefused(
                    "model_id_taken",
                    f"{model_id} is in use, {record.state}; its files are missing, and only the"
                    f" artifact with the digest {record.digest} brings them back.",
                )
            encrypt_artifact(part)
            part.rename(self._directory / model_id)
        except BaseException:
            self.abandon(model_id)
            raise
        self._leave(model_id)
        directories.sync_directory(self._directory)
        return record

    def abandon(self, model_id: str) -> None:
        directories.remove_tree(self._part(model_id))
        self._leave(model_id)

    def expel(self, model_id: str) -> None:
        """Remove the files of a refused model; its record stays."""
        directories.remove_tree(self._directory / model_id)

    def clean(self) -> list[str]:
        """Remove directories without a record, or refused, that no import resumes; their ids."""
        known = {r.id for r in self._records.all() if r.state != ModelState.REFUSED}
        left = []
        for path in sorted(self._directory.iterdir()):
            if path.name.endswith(_PART) and self._is_kept(path):
                continue
            if path.name.endswith(_PART) or path.name not in known:
                directories.remove_tree(path)
                left.append(path.name.removesuffix(_PART))
        return left

    def _is_kept(self, part: Path) -> bool:
        age = self._clock.wall_us() - part.lstat().st_mtime_ns // 1000
        return copying.resumable(part) and age < KEPT_DAYS * _DAY_US

    def _take(self, model_id: str) -> None:
        with self._guard:
            if model_id in self._copying:
                raise StateRefused("model_id_taken", f"{model_id} is being imported.")
            self._copying.add(model_id)

    def _leave(self, model_id: str) -> None:
        with self._guard:
            self._copying.discard(model_id)

    def _part(self, model_id: str) -> Path:
        return self._directory / (model_id + _PART)

    def _check_free(self, model_id: str) -> None:
        record = self._records.find(model_id)
        if (
            record is not None
            and record.state != ModelState.REFUSED
            and not missing(self._directory, record)
        ):
            raise StateRefused("model_id_taken", f"{model_id} is in use, {record.state}.")


def _stated_digest(part: Path) -> str | None:
    try:
        data = (part / names.SIGNATURE_FILE).read_bytes()
        return oms.parse_manifest(oms.parse_bundle(data)).root
    except (OSError, SignatureRefused):
        return None
