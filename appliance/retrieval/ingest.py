"""Ingest as a job: files of a directory become documents of a collection.

Rules:
- A file whose digest is known is not read again; its access list is updated.
- A file that cannot be read is refused with a code in the job's report, and the rest continues.
- Only the collection has values of metadata: the job's record and the log have a number.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import numpy as np

from appliance.clock import Clock
from appliance.errors import ApplianceError, BadRequest, CollectionRefused
from appliance.jobs.kind import Context, JobKind
from appliance.retrieval import access, reading
from appliance.retrieval.chunking import TextChunk, chunks
from appliance.retrieval.collection import Incoming
from appliance.retrieval.embedder import BATCH, Embedder
from appliance.retrieval.extracted import Extracted
from appliance.retrieval.library import CollectionLibrary, Shelf
from appliance.retrieval.ranking import Floats
from appliance.serving.inference import Inference
from appliance.wire.admin.results import Ingested

MOST_FILES: Final = 100_000
MOST_NAME: Final = 400
_SMALLEST: Final = 32
_HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class IngestWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of an ingest.

    Attributes:
        path: a file or a directory on the host.
        access: readers of new or changed documents; None keeps lists.
        kept: the collection's number for these values while the job waits and runs.
    """

    collection: str
    path: str
    access: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = None
    kept: int | None = None


@dataclass(frozen=True)
class _SourceFile:
    name: str
    path: Path
    size: int


class Ingest(JobKind[IngestWanted, Ingested]):
    """The job."""

    name: ClassVar[str] = "ingest"
    form = IngestWanted
    malformed = (CollectionRefused, "collection_invalid")
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, library: CollectionLibrary, inference: Inference, clock: Clock) -> None:
        self._library, self._inference, self._clock = library, inference, clock

    def check(self, params: IngestWanted) -> None:
        """Check the parameters.

        Raises:
            CollectionRefused: `collection_not_found`, `document_missing`, `access_invalid`,
                `collection_invalid`.
        """
        self._library.get(params.collection)
        if params.access is not None:
            access.checked(params.access)
        if len(params.metadata or {}) > 20 or any(
            len(k) > 64 or len(v) > 1_000 for k, v in (params.metadata or {}).items()
        ):
            raise CollectionRefused("collection_invalid", "Metadata are too many or too long.")
        if params.kept is not None:
            raise CollectionRefused("collection_invalid", "An ingest is given its metadata.")
        if not Path(params.path).exists():
            raise CollectionRefused("document_missing", f"There is no {params.path[:200]!r}.")

    def kept(self, params: IngestWanted) -> IngestWanted:
        """Without values, which the collection keeps."""
        if params.metadata is None:
            return params
        collection = self._library.get(params.collection).collection
        number = collection.keep_metadata(params.metadata, self._clock.wall_us())
        return msgspec.structs.replace(params, metadata=None, kept=number)

    def title(self, params: IngestWanted) -> str:
        return f"{Path(params.path).name} into {params.collection}"

    async def run(self, job: Context[IngestWanted]) -> Ingested:
        wanted = job.params
        shelf = self._library.get(wanted.collection)
        if wanted.kept is not None:
            values = await job.in_thread(shelf.collection.kept_metadata, wanted.kept)
            wanted = msgspec.structs.replace(wanted, metadata=values)
        result = await self._all(job, wanted, shelf)
        if wanted.kept is not None:
            await job.in_thread(shelf.collection.forget_metadata, wanted.kept)
        return result

    async def _all(
        self, job: Context[IngestWanted], wanted: IngestWanted, shelf: Shelf
    ) -> Ingested:
        files = await job.in_thread(_files, Path(wanted.path))
        total, done = sum(file.size for file in files), 0
        seen = {row["name"] for row in await job.in_thread(shelf.collection.reports, job.id)}
        for file in files:
            job.report("documents", done, total)
            if file.name not in seen:
                state, code, message = await self._one(job, wanted, shelf, file, done, total)
                await job.in_thread(
                    shelf.collection.report, job.id, file.name, state, code, message
                )
            done += file.size
        job.report("documents", total, total)
        return _result(wanted, await job.in_thread(shelf.collection.reports, job.id))

    async def _one(
        self,
        job: Context[IngestWanted],
        wanted: IngestWanted,
        shelf: Shelf,
        file: _SourceFile,
        done: int,
        total: int,
    ) -> tuple[str, str, str]:
        try:
            if len(file.name) > MOST_NAME or _HIDDEN.search(file.name):
                raise CollectionRefused("document_unreadable", "Its name is too long, or no text.")
            media = reading.media_of(file.name)
            data = await job.in_thread(reading.content, file.path)
            digest = hashlib.sha256(data).hexdigest()
            before = await job.in_thread(shelf.collection.known, file.name)
            if before == digest:
                if wanted.access is not None:
                    await job.in_thread(
                        shelf.collection.grant, file.name, access.checked(wanted.access)
                    )
                return "unchanged", "", ""
            extracted = await job.in_thread(reading.read, data, media)
            if not extracted.blocks:
                message = "It has no text. A scan needs text recognition first."
                raise CollectionRefused("document_unreadable", message)
            cut, vectors = await self._cut(job, shelf, extracted, file, done, total)
            incoming = Incoming(
                name=file.name,
                source_sha256=digest,
                media=media,
                extracted=extracted,
                chunks=cut,
                vectors=vectors,
                access=None if wanted.access is None else access.checked(wanted.access),
                metadata=wanted.metadata,
            )
            await job.in_thread(shelf.collection.put, incoming, job.actor, self._clock.wall_us())
        except CollectionRefused as error:
            if not error.code.startswith(("document_", "access_missing")):
                raise
            return "refused", error.code, error.message
        return "changed" if before else "added", "", ", ".join(extracted.warnings)

    async def _cut(
        self,
        job: Context[IngestWanted],
        shelf: Shelf,
        extracted: Extracted,
        file: _SourceFile,
        done: int,
        total: int,
    ) -> tuple[Sequence[TextChunk], Floats | None]:
        """Smaller chunks where the model takes no larger ones."""
        settings = shelf.collection.settings
        budget, overlap = settings.budget, settings.overlap
        embedder = Embedder(self._inference, settings)
        while True:
            cut = await job.in_thread(_chunks, extracted, budget, overlap)
            if not settings.embedder:
                return cut, None
            found = []
            try:
                for start in range(0, len(cut), BATCH):
                    job.report("documents", done + file.size * start // len(cut), total)
                    batch = cut[start : start + BATCH]
                    texts = [extracted.text[c.start : c.end].decode() for c in batch]
                    found.append(await embedder.passages(texts, f"ingest-{job.id}-{start}"))
                return cut, np.concatenate(found)
            except BadRequest as error:
                if error.code != "context_length_exceeded" or budget // 2 < _SMALLEST:
                    raise _unfit(error) from error
                budget, overlap = budget // 2, overlap // 2


def _unfit(error: ApplianceError) -> CollectionRefused:
    return CollectionRefused("document_unreadable", f"The embedder refuses it: {error.message}")


def _chunks(extracted: Extracted, budget: int, overlap: int) -> list[TextChunk]:
    return chunks(extracted.text, extracted.blocks, budget=budget, overlap=overlap)


def _files(path: Path) -> list[_SourceFile]:
    """The files to read, by name, without links and hidden ones.

    Raises:
        CollectionRefused: `document_missing`, `document_too_large`.
    """
    if path.is_file():
        return [_SourceFile(path.name, path, path.stat().st_size)]
    found: list[_SourceFile] = []
    for directory, directories, names in os.walk(path):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in names:
            file = Path(directory) / name
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                relative = file.relative_to(path).as_posix()
                relative = relative.encode("utf-8", "replace").decode()
                found.append(_SourceFile(relative, file, file.stat().st_size))
        if len(found) > MOST_FILES:
            message = f"There are more than {MOST_FILES} files."
            raise CollectionRefused("document_too_large", message)
    if not found:
        raise CollectionRefused("document_missing", f"There is no file in {str(path)[:200]!r}.")
    return sorted(found, key=lambda file: file.name)


def _result(wanted: IngestWanted, rows: Sequence[dict[str, str]]) -> Ingested:
    states = Counter(row["state"] for row in rows)
    return Ingested(  # no names: they go with the documents
        collection=wanted.collection,
        added=states["added"],
        changed=states["changed"],
        unchanged=states["unchanged"],
        refused=states["refused"],
    )
