"""The import of an artifact as a job.

After a pause or a crash, copied bytes are not copied again; interrupted checks begin again.
"""

from pathlib import Path
from typing import ClassVar

from appliance.errors import StateRefused
from appliance.jobs.kind import Context, JobKind
from appliance.registry.importing import UNFINISHED
from appliance.registry.lifecycle import Lifecycle
from appliance.trust.artifacts.copying import CopiedFile
from appliance.trust.artifacts.store import ModelRecord
from appliance.wire.admin.models import ImportedFile, ModelImport
from appliance.wire.admin.results import ArtifactImported


class Importing(JobKind[ModelImport, ArtifactImported]):
    """Copies, vets and verifies an artifact."""

    name: ClassVar[str] = "import"
    form = ModelImport
    resumable: ClassVar[bool] = True

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def title(self, params: ModelImport) -> str:
        return params.path

    def key(self, params: ModelImport) -> str:
        """A second import of the same artifact watches the first."""
        return f"{_name(params)}\0{params.path}"

    async def run(self, job: Context[ModelImport]) -> ArtifactImported:
        files: list[CopiedFile] = []
        record = await job.in_thread(self._import, job, files)
        return ArtifactImported(
            id=record.id,
            state=record.state,
            code=record.code,
            files=[ImportedFile(**vars(file)) for file in files],
        )

    def _import(self, job: Context[ModelImport], files: list[CopiedFile]) -> ModelRecord:
        if job.resumed and (known := self._known(job)) is not None:
            if known.state not in UNFINISHED:
                return known  # it was finished when the data directory opened
            return self._lifecycle.finish_import(job.actor, known.id, job.report)
        path, model_id = Path(job.params.path), job.params.id
        return self._lifecycle.import_model(job.actor, path, model_id, job.report, files.append)

    def _known(self, job: Context[ModelImport]) -> ModelRecord | None:
        try:
            found = self._lifecycle.record(_name(job.params))
        except StateRefused:
            return None
        return found if found.created_us >= job.created_us else None


def _name(params: ModelImport) -> str:
    return Path(params.path).absolute().name if params.id is None else params.id
