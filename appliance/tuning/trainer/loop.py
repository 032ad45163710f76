"""Training: steps of the optimiser, evaluations on dev, checkpoints.

Rules:
- The state after a step follows from the order only, so that a cut run resumes to the weights that
  it would have had.
- The matrices of the best evaluation on dev are kept, and scored as they are exported, in 16 bits.

Source: AdamW (Loshchilov and Hutter, 2019), without decay.
"""

import hashlib
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from appliance.errors import TuningRefused
from appliance.tuning import messages
from appliance.tuning.rows import TokenRow, common_prefix, digest
from appliance.tuning.trainer import batches
from appliance.tuning.trainer.network import Network, PaddedBatch

_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-8
_LEAST_RATE: Final = 0.02  # of the full one, at the end
_TRIED: Final = 3  # steps of a trial at least
_TRIED_S: Final = 10.0  # after which it takes no more

Send = Callable[[messages.FromTrainer], None]


class SavedTensors(msgspec.Struct):
    """A checkpoint: numbers, and tensors as bytes one after the other."""

    key: str
    step: int
    best_step: int
    best_nats: float
    waited: int
    tensors: tuple[bytes, bytes, bytes, bytes]


@dataclass
class TrainingState:
    """State after a step.

    Attributes:
        moments: the optimiser's two running means, shaped as the parameters.
        best: the parameters at the best evaluation.
    """

    parameters: list[Tensor]
    moments: tuple[list[Tensor], list[Tensor]]
    best: list[Tensor]
    step: int = 0
    best_step: int = 0
    best_nats: float = math.inf
    waited: int = 0
    key: str = field(default="")

    @classmethod
    def of(cls, network: Network, key: str) -> "TrainingState":
        parameters = network.parameters()
        first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        best = [p.detach().clone() for p in parameters]
        return cls(parameters, (first, second), best, key=key)

    def kept(self) -> bytes:
        lists = (self.parameters, *self.moments, self.best)
        first, second, third, fourth = (b"".join(_bytes(t) for t in tensors) for tensors in lists)
        numbers = (self.key, self.step, self.best_step, self.best_nats, self.waited)
        return msgspec.msgpack.encode(SavedTensors(*numbers, (first, second, third, fourth)))

    def resume(self, data: bytes) -> None:
        """Continue from a checkpoint; one of another run raises `tuning_checkpoint`."""
        try:
            kept = msgspec.msgpack.decode(data, type=SavedTensors)
        except msgspec.DecodeError as error:
            raise TuningRefused("tuning_checkpoint", "The checkpoint cannot be read.") from error
        sizes = sum(p.numel() for p in self.parameters) * 4
        if kept.key != self.key or any(len(part) != sizes for part in kept.tensors):
            raise TuningRefused("tuning_checkpoint", "The checkpoint is of another run.")
        lists = (self.parameters, *self.moments, self.best)
        for tensors, part in zip(lists, kept.tensors, strict=True):
            values = torch.frombuffer(bytearray(part), dtype=torch.float32)
            for tensor, piece in zip(
                tensors, values.split([t.numel() for t in tensors]), strict=True
            ):
                tensor.detach().copy_(piece.view_as(tensor))
        self.step, self.best_step = kept.step, kept.best_step
        self.best_nats, self.waited = kept.best_nats, kept.waited


class Training:
    """One run."""

    def __init__(
        self, network: Network, order: messages.TrainingOrder, base_sha256: str, send: Send
    ) -> None:
        self._network, self._order, self._send = network, order, send
        self._prefix = common_prefix([*order.rows, *order.dev])
        settings = order.settings
        self._total = batches.steps(len(order.rows), settings.batch, settings.epochs)
        each = math.ceil(len(order.rows) / settings.batch)
        self._every = max(1, each // settings.evaluations)
        plain = msgspec.json.encode(settings)
        rows = f"{digest(order.rows)} {digest(order.dev)} {base_sha256} {order.threads} "
        self._state = TrainingState.of(network, hashlib.sha256(rows.encode() + plain).hexdigest())
        if order.checkpoint:
            self._state.resume(order.checkpoint)

    def run(self) -> None:
        """Raises TuningRefused (`tuning_not_finite`)."""
        if not self._order.checkpoint:  # later, the matrices change what it says
            self._send(messages.BaseLosses(self._scores(self._order.frozen, 0)))
        begun = saved = time.monotonic()
        state = self._state
        last = self._order.trial or self._total
        while state.step < last and not self._over():
            told = self._step()
            state.step += 1
            if self._order.trial:
                self._send(told)
                if state.step >= _TRIED and time.monotonic() - begun >= _TRIED_S:
                    break
                continue
            if state.step % self._every == 0 or state.step == self._total:
                told = msgspec.structs.replace(told, dev=self._evaluate())
            self._send(told)
            if time.monotonic() - saved >= self._order.every_s and state.step < last:
                self._send(messages.TrainerCheckpoint(state.step, state.kept()))
                saved = time.monotonic()
        self._finish()

    def _over(self) -> bool:
        return bool(self._order.dev) and self._state.waited >= self._order.settings.patience

    def _step(self) -> messages.TrainingStep:
        settings, state, rows = self._order.settings, self._state, self._order.rows
        begun = time.perf_counter()
        numbers = batches.step_rows(len(rows), settings.batch, settings.seed, state.step)
        learned = sum(len(rows[number].answer) for number in numbers)
        loss, tokens = 0.0, 0
        for part in batches.parts(rows, numbers, self._prefix, settings.tokens):
            batch = self._batch([rows[number] for number in part], self._prefix)
            total = self._network.losses(batch).sum() / learned
            total.backward()
            loss += float(total)
            tokens += len(batch.prefix) + batch.rows.numel()
        self._update(loss)
        return messages.TrainingStep(
            state.step + 1, self._total, loss, tokens, time.perf_counter() - begun
        )

    def _update(self, loss: float) -> None:
        settings, state = self._order.settings, self._state
        gradients = [p.grad for p in state.parameters]
        length = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        if not (math.isfinite(loss) and math.isfinite(length)):
            raise TuningRefused(
                "tuning_not_finite",
                f"At step {state.step + 1} the loss is {loss} and the gradient's length {length}.",
            )
        shrunk = min(1.0, settings.clip / max(length, _EPSILON))
        warm = min(1.0, (state.step + 1) / max(settings.warmup, 1))
        rate = settings.rate * warm * max(_LEAST_RATE, 1 - state.step / self._total)
        first, second = _BETAS
        ages = (1 - first ** (state.step + 1), 1 - second ** (state.step + 1))
        with torch.no_grad():
            for p, g, m, v in zip(state.parameters, gradients, *state.moments, strict=True):
                g.mul_(shrunk)
                m.mul_(first).add_(g, alpha=1 - first)
                v.mul_(second).addcmul_(g, g, value=1 - second)
                p.addcdiv_(m / ages[0], (v / ages[1]).sqrt_().add_(_EPSILON), value=-rate)
                p.grad = None

    def _evaluate(self) -> float | None:
        """Nats a token on dev; the best parameters are kept."""
        state = self._state
        if not self._order.dev:
            state.best_step = state.step
            for kept, now in zip(state.best, state.parameters, strict=True):
                kept.copy_(now.detach())
            return None
        scores = self._scores(self._order.dev, self._prefix)
        nats = sum(sum(s.nats) for s in scores) / sum(len(s.nats) for s in scores)
        if nats < state.best_nats:
            state.best_nats, state.best_step, state.waited = nats, state.step, 0
            for kept, now in zip(state.best, state.parameters, strict=True):
                kept.copy_(now.detach())
        else:
            state.waited += 1
        return nats

    def _finish(self) -> None:
        with torch.no_grad():
            for now, best in zip(self._state.parameters, self._state.best, strict=True):
                now.copy_(best.half().float())
        trial = bool(self._order.trial)
        named = {} if trial else self._network.named()
        self._send(
            messages.Done(
                {
                    k: messages.FloatMatrix((v.shape[0], v.shape[1]), _bytes(v))
                    for k, v in named.items()
                },
                [] if trial else self._scores(self._order.dev, self._prefix),
                self._state.best_step,
                self._state.step,
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
                str(torch.__version__),
            )
        )

    def _scores(self, rows: Sequence[TokenRow], prefix: int) -> list[messages.Score]:
        with torch.no_grad():
            return self._scored(rows, prefix)

    def _scored(self, rows: Sequence[TokenRow], prefix: int) -> list[messages.Score]:
        found: dict[int, messages.Score] = {}
        tokens = self._order.settings.tokens
        for part in batches.parts(rows, range(len(rows)), prefix, tokens):
            values = self._network.scores(self._batch([rows[n] for n in part], prefix))
            sizes = [len(rows[number].answer) for number in part]
            columns = [[p.tolist() for p in value.split(sizes)] for value in values]
            for number, nats, best, leads in zip(part, *columns, strict=True):
                found[number] = messages.Score(tuple(nats), tuple(best), tuple(leads))
        return [found[number] for number in range(len(rows))]

    def _batch(self, rows: Sequence[TokenRow], begun: int) -> PaddedBatch:
        length = max(len(row.inputs) for row in rows) - begun
        padded = np.zeros((len(rows), length), np.int64)
        at: list[tuple[int, int]] = []
        targets: list[int] = []
        for number, row in enumerate(rows):
            own = row.inputs[begun:]
            padded[number, : len(own)] = own
            start = len(row.prompt) - 1 - begun
            at += [(number, start + place) for place in range(len(row.answer))]
            targets += row.answer
        prefix = torch.tensor(rows[0].prompt[:begun], dtype=torch.int64)
        return PaddedBatch(
            prefix, torch.from_numpy(padded), torch.tensor(at), torch.tensor(targets)
        )


def _bytes(tensor: Tensor) -> bytes:
    data: bytes = tensor.detach().contiguous().numpy().tobytes()
    return data
