"""The way into the store: an artifact is copied whole, or it is no model.

Rules: nothing is believed about the medium; a copy becomes a model in one rename, with a record;
what an interrupted import left has no record. The next import of the same artifact goes on with it;
`clean` removes it when it cannot be gone on with, or nobody did for `KEPT_DAYS`.
"""

import threading
from pathlib import Path
from typing import Final

from appliance.clock import Clock
from appliance.errors import StateRefused
from appliance.text import visible
from appliance.trust import copying
from appliance.trust import directory as directories
from appliance.trust.copying import Told
from appliance.trust.names import MODEL_ID
from appliance.trust.records import ModelRecord, ModelState, Records
from appliance.trust.sealed import Progress

KEPT_DAYS: Final = 7
_PART: Final = ".part"
_DAY_US: Final = 86_400_000_000


class Intake:
    """Copies artifacts into `DATA/models`.

    Args:
        records: what is known about models.
        directory: `DATA/models`.
        clock: dates imports.
    """

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
        progress: Progress,
        told: Told = lambda file: None,
    ) -> str:
        """Copy an artifact beside the store's models, unchecked; it is no model yet.

        Args:
            model_id: by default the name of the directory. The id of a refused model may be
                used again.
            told: gets a line for each file.

        Returns:
            The id, for `admit` or `abandon`.

        Raises:
            StateRefused: `invalid_model_id`, `model_id_taken`, `insufficient_disk`.
            SignatureRefused: what `directory.open_artifact` raises.
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
        """Make a copy a model in quarantine; approvals of an earlier one of this id go."""
        part, final = self._part(model_id), self._directory / model_id
        try:
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

    def abandon(self, model_id: str) -> None:
        """Remove a copy that was not admitted."""
        directories.remove_tree(self._part(model_id))
        self._leave(model_id)

    def expel(self, model_id: str) -> None:
        """Remove the files of a model that was refused; its record stays and says why."""
        directories.remove_tree(self._directory / model_id)

    def clean(self) -> list[str]:
        """Remove what has no record, or that of a refusal, and no import goes on with; its ids."""
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
        """Whether an interrupted copy is worth going on with."""
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
        if record is not None and record.state != ModelState.REFUSED:
            raise StateRefused("model_id_taken", f"{model_id} is in use, {record.state}.")
