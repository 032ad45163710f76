"""Messages between a job and its trainer; nothing else crosses the pipes.

A frame is a four-byte little-endian length and a msgpack body. The trainer reads one `Order` and
writes the rest. The job bounds every frame and ends a trainer that breaks the protocol.
"""

import struct
from typing import Final

import msgspec

from appliance.tuning.rows import TokenRow
from appliance.tuning.settings import TuneSettings

HEADER: Final = struct.Struct("<I")
LARGEST: Final = (1 << 32) - 1


class TrainingOrder(msgspec.Struct, frozen=True):
    """A training to do.

    Attributes:
        dev: for choosing and comparing.
        frozen: text that the untrained model scores, for comparison with the server.
        threads: their number may change weights in the last digits.
        most_bytes: address space that may be mapped beyond what is mapped at the drop.
        trial: most steps of a timing; 0 trains.
        checkpoint: a trainer's; empty for the beginning.
    """

    settings: TuneSettings
    rows: tuple[TokenRow, ...]
    dev: tuple[TokenRow, ...]
    frozen: tuple[TokenRow, ...]
    threads: int
    most_bytes: int
    trial: int = 0
    checkpoint: bytes = b""
    every_s: float = 60.0


class TrainerReady(msgspec.Struct, tag="ready", frozen=True):
    """The base is read and the trainer is confined."""

    base_sha256: str
    rows_sha256: str
    confinement: dict[str, bool | int | str]


class Score(msgspec.Struct, frozen=True, array_like=True):
    """Scores of one row's answer: each token's loss, the best token there, and its lead."""

    nats: tuple[float, ...]
    best: tuple[int, ...]
    leads: tuple[float, ...]


class BaseLosses(msgspec.Struct, tag="base", frozen=True):
    """The untrained model's losses on the frozen text."""

    scores: list[Score]


class TrainingStep(msgspec.Struct, tag="step", frozen=True):
    """One step of the optimiser.

    Attributes:
        loss: nats a token, before the step.
        tokens: computed ones, padding included.
        dev: nats a token on dev after the step, where it was measured.
    """

    step: int
    total: int
    loss: float
    tokens: int
    seconds: float
    dev: float | None = None


class TrainerCheckpoint(msgspec.Struct, tag="checkpoint", frozen=True):
    """State to resume after this step."""

    step: int
    data: bytes


class FloatMatrix(msgspec.Struct, frozen=True, array_like=True):
    """32-bit floats, row by row."""

    shape: tuple[int, int]
    data: bytes


class Done(msgspec.Struct, tag="done", frozen=True):
    """The best matrices, and their scores as exported.

    Attributes:
        best: the step after which they were taken.
    """

    matrices: dict[str, FloatMatrix]
    scores: list[Score]
    best: int
    steps: int
    peak_bytes: int
    torch: str


class TrainerRefused(msgspec.Struct, tag="refused", frozen=True):
    """Refusal by the trainer, which ends. The code is one of `errors.CODES`."""

    code: str
    message: str


FromTrainer = TrainerReady | BaseLosses | TrainingStep | TrainerCheckpoint | Done | TrainerRefused

_encoder = msgspec.msgpack.Encoder()
_order: msgspec.msgpack.Decoder[TrainingOrder] = msgspec.msgpack.Decoder(TrainingOrder)
_from_trainer: msgspec.msgpack.Decoder[FromTrainer] = msgspec.msgpack.Decoder(FromTrainer)


def frame(message: TrainingOrder | FromTrainer) -> bytes:
    """The bytes of one message."""
    body = _encoder.encode(message)
    return HEADER.pack(len(body)) + body


def decode_order(body: bytes) -> TrainingOrder:
    """Raises msgspec.DecodeError."""
    return _order.decode(body)


def decode_from_trainer(body: bytes) -> FromTrainer:
    """Raises msgspec.DecodeError."""
    return _from_trainer.decode(body)
