"""One seed, from its rows to its matrices: the trainer's messages, kept and shown.

Rules: the untrained model is compared with the server before the first step; a checkpoint replaces
the last one whole or not at all; a finished seed is not trained again.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from appliance.errors import TuningRefused
from appliance.trust.bytes import durable
from appliance.tuning import checks, losses, messages
from appliance.tuning.checks import Scored
from appliance.tuning.messages import (
    BaseLosses,
    Done,
    TrainerCheckpoint,
    TrainerReady,
    TrainingOrder,
    TrainingStep,
)
from appliance.tuning.process import Busy, trainer
from appliance.types import Report
from appliance.workers.process import Sealed

_READING: Final = "the trainer reads the base"
_SCORING: Final = "the trainer scores the untrained model"
_DONE: Final = "done"
_CHECKPOINT: Final = "checkpoint"
_LOSSES: Final = losses.SUFFIX.removeprefix(".")

T = TypeVar("T")


class Curve(msgspec.Struct, frozen=True):
    """A kept step."""

    step: int
    loss: float
    dev: float | None = None


class Trained(msgspec.Struct, frozen=True):
    """A finished seed.

    Attributes:
        base_gap: of the untrained model, nats a token.
        seconds: of all steps and evaluations; time lost to a crash is not counted.
    """

    seed: int
    ready: TrainerReady
    done: Done
    curve: list[Curve]
    base_gap: float
    seconds: float

    @property
    def dev_nats(self) -> float:
        """As exported."""
        nats = [value for score in self.done.scores for value in score.nats]
        return sum(nats) / len(nats) if nats else float("nan")


class _CheckpointMeta(msgspec.Struct):
    data: bytes
    curve: list[Curve]
    base_gap: float
    seconds: float


@dataclass(frozen=True)
class SeedFiles:
    """One seed's files."""

    directory: Path
    seed: int
    of: str = ""

    def done(self) -> Trained | None:
        """None unless trained to the end; TuningRefused (`tuning_checkpoint`), as all here."""
        return self._read(_DONE, Trained)

    def keep_done(self, trained: Trained) -> None:
        """Drops the checkpoint."""
        self._write(_DONE, msgspec.msgpack.encode(trained))
        self._path(_CHECKPOINT).unlink(missing_ok=True)

    def kept(self) -> "_CheckpointMeta | None":
        return self._read(_CHECKPOINT, _CheckpointMeta)

    def keep(self, kept: "_CheckpointMeta") -> None:
        self._write(_CHECKPOINT, msgspec.msgpack.encode(kept))

    def tell(self, steps: Sequence[Curve], *, again: bool = False) -> None:
        """Add losses for people; `again` replaces earlier ones."""
        points = [losses.LossAt(one.step, one.loss, one.dev) for one in steps]
        with self._on_disk("losses"):
            losses.write(self._path(_LOSSES), points, again=again)

    def _read(self, what: str, kind: type[T]) -> T | None:
        path = self._path(what)
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=kind) if path.exists() else None
        except msgspec.MsgspecError as error:
            raise TuningRefused("tuning_checkpoint", f"{path.name} cannot be read.") from error

    def _write(self, what: str, data: bytes) -> None:
        with self._on_disk(what):
            durable.replace(self._path(what), data)

    @contextlib.contextmanager
    def _on_disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TuningRefused(
                "tuning_checkpoint", f"The {what} of seed {self.seed}: {error.strerror}."
            ) from error

    def _path(self, what: str) -> Path:
        return self.directory / f"seed-{self.seed}{self.of}.{what}"


def held(scores: Sequence[messages.Score]) -> list[Scored]:
    """Without the preferred tokens."""
    return [Scored(score.nats, ()) for score in scores]


async def train(
    base: Sealed,
    base_sha256: str,
    order: TrainingOrder,
    directory: Path,
    files: SeedFiles,
    untrained: Sequence[Scored],
    report: Report,
    busy: Busy = lambda: False,
) -> Trained:
    """Train one seed, or resume.

    Args:
        directory: of the tuning set.
        untrained: the server's scores of `order.frozen`.

    Raises:
        TuningRefused: the trainer's code; `tuning_base_differs`, `tuning_tokens_differ`,
            `tuning_nll_gap` before the first step; `tuning_checkpoint`.
    """
    found = files.done()
    if found is not None:  # of a job that stopped later; what it was made of may have changed
        checks.check_base(found.ready.base_sha256, base_sha256)
        checks.check_tokens(order.rows, order.rows, found.ready.rows_sha256)
        return found
    kept = files.kept() or _CheckpointMeta(b"", [], 0.0, 0.0)
    order = msgspec.structs.replace(order, checkpoint=kept.data)
    files.tell(kept.curve, again=True)
    phase, ready = f"training, seed {files.seed}", None
    seconds = kept.seconds
    report(_READING, 0, 0)
    async with trainer(base, order, directory, busy) as said:
        async for message in said:
            match message:
                case TrainerReady():
                    report(_SCORING, 0, 0)
                    checks.check_base(message.base_sha256, base_sha256)
                    checks.check_tokens(order.rows, order.rows, message.rows_sha256)
                    ready = message
                case BaseLosses():
                    found_gap = checks.gap(held(message.scores), untrained)
                    checks.check_gap(found_gap, "The untrained model")
                    kept.base_gap = found_gap.nats
                    report(phase, 0, 0)
                case TrainingStep():
                    kept.curve.append(Curve(message.step, message.loss, message.dev))
                    files.tell(kept.curve[-1:])
                    seconds += message.seconds
                    report(phase, message.step, message.total)
                case TrainerCheckpoint():
                    kept.data, kept.seconds = message.data, seconds
                    files.keep(kept)
                case Done() if ready is not None:
                    trained = Trained(
                        files.seed, ready, message, kept.curve, kept.base_gap, seconds
                    )
                    files.keep_done(trained)
                    return trained
                case _:
                    break
    raise TuningRefused("tuning_failed", "The trainer broke the protocol.")


@dataclass(frozen=True)
class Trial:
    """Seconds until the first step with the untrained model's scores, seconds a token, and peak
    bytes.
    """

    begin: float
    token: float
    peak: int


async def trial(base: Sealed, order: TrainingOrder, directory: Path, report: Report) -> Trial:
    """A few real steps; keeps nothing."""
    report(_READING, 0, 0)
    steps: list[TrainingStep] = []
    begun, begin, peak = time.monotonic(), 0.0, 0
    async with trainer(base, order, directory) as said:
        async for message in said:
            if isinstance(message, TrainerReady):
                report(_SCORING, 0, 0)
            elif isinstance(message, BaseLosses):
                begin = time.monotonic() - begun
            elif isinstance(message, TrainingStep):
                steps.append(message)
                report("trial steps", message.step, order.trial)
            elif isinstance(message, Done):
                peak = message.peak_bytes
    timed = steps[1:] or steps  # the first one warms up
    token = sum(s.seconds for s in timed) / sum(s.tokens for s in timed)
    return Trial(begin, token, peak)
