"""Quantising as a job: files of a model in smaller types, and the smallest that is not worse.

Rules:
- The source is verified like a model that is loaded; a quantised one is refused.
- A confined process makes each file; it is vetted like an import, and proved to differ from the
  source in its weights only.
- The importance matrix is of train only; sealed splits have no name.
- `DATA/quantized/JOB/` keeps the recommended file and its record, to be signed and imported like
  any model. Adapters of the source are named: they fit no other file.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from appliance.clock import iso
from appliance.engine.importance import LARGEST
from appliance.engine.quantized import LONGEST, Collect, FileComparison, Order, Result
from appliance.errors import TuningRefused
from appliance.evals.outcomes import Outcome
from appliance.evals.parameters import EvaluationWanted as Evaluated
from appliance.evals.parameters import is_path
from appliance.evals.subject import EvaluationSubject, read_subject
from appliance.jobs.kind import Context, JobKind
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.trust.bytes import durable
from appliance.trust.bytes.sealed import SealedFile, seal_and_close
from appliance.trust.gguf.gguf import GgufFacts, vet
from appliance.tuning import examples, importance, same_model, selection
from appliance.tuning.dev_quality import measured
from appliance.tuning.plan import MIB
from appliance.tuning.quantizer_process import collected_by_child, made_by_child
from appliance.tuning.rows import TokenRow, common_prefix
from appliance.tuning.served import Weights, memory, serving
from appliance.tuning.services import TuningParts
from appliance.tuning.weight_types import BESIDE, FLOATS, UNWEIGHTED, chosen
from appliance.types import Role
from appliance.wire.admin.results import ModelQuantized, SourceMeasured, TaskNamed
from appliance.workers.process import Sealed

DIRECTORY: Final = "quantized"
FILE: Final = "model.gguf"
RECORD: Final = "quantization.json"
TYPE: Final = "https://appliance.invalid/quantization/v1"
_TOKENS: Final = 2_000
"""Tokens over which whole distributions are compared."""
_SPACE: Final = 2 << 30  # address space that is mapped and hardly touched


class QuantizeWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters.

    Attributes:
        task, data: directories on the host.
        most_kld: allowed divergence from the source, in nats a token.
        importance: use an importance matrix, where train has rows.
    """

    model: str
    to: tuple[str, ...]
    task: str
    data: str
    dev: int = 200
    most_kld: float = selection.MOST_KLD
    importance: bool = True


@dataclass(frozen=True)
class _Answered:
    """A model's results on dev.

    Attributes:
        learning: rows of train for an importance matrix, if requested.
    """

    outcomes: tuple[Outcome, ...]
    rows: tuple[TokenRow, ...]
    tokens_s: float
    learning: tuple[TokenRow, ...] = ()


@dataclass(frozen=True)
class _QuantizedFile:
    sealed: SealedFile
    facts: GgufFacts


class Quantizing(JobKind[QuantizeWanted, ModelQuantized]):
    """Makes smaller files of a model.

    Args:
        parts: without use of its directory.
        directory: `DATA/quantized`.
        adapters: ids of the adapters of a model.
        again: take a source that is quantised already; for tests.
    """

    name: ClassVar[str] = "quantize"
    form = QuantizeWanted
    malformed = (TuningRefused, "tuning_invalid")
    unit: ClassVar[str] = "files"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True

    def __init__(
        self,
        parts: TuningParts,
        directory: Path,
        adapters: Callable[[str], list[str]],
        *,
        again: bool = False,
    ) -> None:
        self._parts, self._directory, self._adapters = parts, directory, adapters
        self._again = again

    def check(self, params: QuantizeWanted) -> None:
        """Raises TuningRefused (`tuning_invalid`, `quantize_type`, `quantize_source`)."""
        if params.dev < 1 or not params.most_kld > 0:
            raise TuningRefused("tuning_invalid", "Parameters: dev and most_kld are above 0.")
        chosen(params.to, params.importance)
        for path in (params.task, params.data):
            if not (is_path(path) and Path(path).is_dir()):
                raise TuningRefused("tuning_invalid", f"{path[:200]} is no directory.")
        self._check_source(self._parts.facts(params.model))

    def title(self, params: QuantizeWanted) -> str:
        return f"{params.model} to {', '.join(params.to)}"

    def needs(self, params: QuantizeWanted) -> int:
        """The source and the new file three times each, and a worker."""
        facts = self._parts.facts(params.model)
        server = memory(facts, LONGEST, self._parts.variant(), 0).total
        return 6 * facts.file_bytes + server

    async def run(self, job: Context[QuantizeWanted]) -> ModelQuantized:
        wanted = job.params
        begun = time.monotonic()
        asked = Evaluated(wanted.task, wanted.data, "dev", limit=wanted.dev)
        subject = await job.in_thread(read_subject, self._parts.store, asked)
        job.report("verifying", 0, len(wanted.to))
        model = await job.in_thread(self._parts.seal, wanted.model)
        directory = self._directory / str(job.id)
        with contextlib.closing(model):
            self._check_source(model.facts)
            with _mapped(model.sealed) as data:
                before = same_model.identity(data)
            job.report("asking the source", 0, 0)
            source = await job.unless_stopped(
                self._answers(model, subject, learning=wanted.importance)
            )
            types = chosen(wanted.to, bool(source.learning))
            job.report("importance", 0, len(types))
            matrix = await self._matrix(job, model, source.learning)
            found, files = [], {}
            for number, (name, ftype) in enumerate(types.items()):
                job.report(f"making {name}", number, len(types))
                weighed = None if name in UNWEIGHTED else matrix
                order = self._order(model, ftype, source.rows, weighed, name in BESIDE)
                with await self._made(job, model, name, order) as made:
                    files[name] = same_model.check(before, made.identity), made.file.sealed.sha256
                    job.report(f"asking {name}", number, len(types))
                    answered = await job.unless_stopped(self._answers(made.file, subject))
                    one = selection.Made(
                        name,
                        made.file.sealed.size,
                        answered.tokens_s,
                        made.compared,
                        answered.outcomes,
                        weighed is not None,
                        made.result.plain,
                    )
                    margin = subject.loaded.task.gate.margin
                    found.append(selection.judged(one, source.outcomes, margin, wanted.most_kld))
                    best = selection.recommended(found)
                    if best == name:  # the smallest one so far that passes is kept
                        await job.in_thread(_keep, directory, made.file.sealed)
        best = selection.recommended(found)
        told = ModelQuantized(
            rows=selection.told(found),
            recommended=best,
            source=SourceMeasured(
                id=model.id,
                oms_root=model.digest,
                gguf_sha256=model.gguf_sha256,
                mib=round(model.sealed.size / MIB, 1),
                metric=sum(o.score for o in source.outcomes) / len(source.outcomes),
            ),
            task=TaskNamed(
                id=subject.loaded.task.id,
                version=subject.loaded.task.version,
                digest=subject.loaded.digest,
                margin=subject.loaded.task.gate.margin,
            ),
            data={"digest": subject.data_digest, "dev": len(source.outcomes)},
            importance_matrix=matrix.told() if matrix else None,
            engine=f"{self._parts.engine} {self._parts.variant().name}",
            made=iso(self._parts.clock.wall_us()),
            seconds=round(time.monotonic() - begun, 1),
            adapters=self._adapters(wanted.model),
        )
        if best is None:
            await job.in_thread(shutil.rmtree, directory, ignore_errors=True)
            return told
        same, sha256 = files[best]
        told = told.having(file_sha256=sha256, same_sha256=same)
        rows = matrix.row_digests() if matrix else []
        await job.in_thread(_record, directory, told, rows)
        return told.having(directory=str(directory))

    def _check_source(self, facts: GgufFacts) -> None:
        held = sorted(t.name for t in facts.tensors.values() if t.type not in FLOATS)
        if held and not self._again:
            raise TuningRefused(
                "quantize_source",
                f"{len(held)} tensors of the model are quantised already, {held[0]} among them.",
            )

    async def _answers(
        self, weights: Weights, subject: EvaluationSubject, learning: bool = False
    ) -> _Answered:
        parts = self._parts
        async with serving(weights, LONGEST, parts.variant(), parts.threads) as served:
            stop = await examples.stop_token(served)
            rows = await examples.rows(served, subject.loaded, subject.items, stop)
            named = {row.item for row in rows}
            items = [item for item in subject.items if item.id in named]
            begun = time.perf_counter()
            found = await measured(served, "", subject.loaded, items, rows)
            seconds = time.perf_counter() - begun
            train = await importance.learning(served, subject, stop, rows) if learning else ()
        pace = sum(len(row.tokens) for row in rows) / seconds
        return _Answered(found.outcomes, rows, pace, train)

    async def _matrix(
        self, job: Context[QuantizeWanted], model: VerifiedModel, rows: tuple[TokenRow, ...]
    ) -> importance.Matrix | None:
        if not rows:
            return None
        order = Collect(
            threads=self._parts.threads,
            texts=importance.texts(rows),
            start=common_prefix(rows),
            memory_bytes=4 * model.sealed.size + _SPACE,
            most_bytes=LARGEST,
        )
        collecting = collected_by_child(model.sealed, order, self._parts.variant().path)
        found = await job.unless_stopped(collecting)
        return importance.Matrix(found, rows)

    def _order(
        self,
        model: VerifiedModel,
        ftype: int,
        rows: tuple[TokenRow, ...],
        matrix: importance.Matrix | None,
        beside: bool,
    ) -> Order:
        compared: list[list[int]] = []
        for text in importance.texts(rows):
            if sum(map(len, compared)) >= _TOKENS:
                break
            compared.append(text)
        largest = sum(tensor.bytes for tensor in model.facts.tensors.values()) * 4
        return Order(
            ftype=ftype,
            threads=self._parts.threads,
            texts=compared,
            start=common_prefix(rows),
            memory_bytes=4 * (model.sealed.size + largest) + _SPACE,
            most_bytes=model.sealed.size + largest,
            again=self._again,
            matrix=matrix.weights if matrix else {},
            beside=beside and matrix is not None,
        )

    async def _made(
        self, job: Context[QuantizeWanted], model: VerifiedModel, name: str, order: Order
    ) -> "_Making":
        making = made_by_child(model.sealed, order, self._parts.variant().path)
        return await job.in_thread(_vetted, name, await job.unless_stopped(making))


@dataclass
class _Making:
    """A vetted file, closed when the block is left."""

    file: _QuantizedFile
    identity: dict[str, str]
    result: Result

    @property
    def compared(self) -> FileComparison:
        """Raises TuningRefused (`quantize_failed`)."""
        if self.result.compared is None:
            raise TuningRefused("quantize_failed", "The process compared nothing.")
        return self.result.compared

    def __enter__(self) -> "_Making":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.sealed.close()


def _vetted(name: str, made: tuple[int, Result]) -> _Making:
    sealed = seal_and_close(made[0], f"{name}.gguf")
    try:
        with _mapped(sealed) as data:
            return _Making(_QuantizedFile(sealed, vet(data)), same_model.identity(data), made[1])
    except BaseException:
        sealed.close()
        raise


@contextlib.contextmanager
def _mapped(sealed: Sealed) -> Iterator[mmap.mmap]:
    fd = sealed.reopen()
    try:
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(fd)


def _keep(directory: Path, sealed: SealedFile) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        fd = sealed.reopen()
        with os.fdopen(fd, "rb") as source, (directory / FILE).open("wb") as target:
            shutil.copyfileobj(source, target, 4 * MIB)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"The file: {error.strerror}.") from error


def _record(directory: Path, told: ModelQuantized, rows: Sequence[str]) -> None:
    if hashlib.sha256((directory / FILE).read_bytes()).hexdigest() != told.file_sha256:
        raise TuningRefused("tuning_checkpoint", "The file on the disk is not what was made.")
    found = {"_type": TYPE, **told.document, "importance_rows": rows}
    text = json.dumps(found, sort_keys=True, indent=1).encode() + b"\n"
    durable.replace(directory / RECORD, text, 0o640)
