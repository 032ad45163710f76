"""The engine that serves, in a worker of the job's own: tokens, and scores for comparison.

Rules:
- It is the same program, library and file as a model that serves; no app reaches it. An adapter
  without approvals is loaded here only.
- For comparisons with the trainer it is reproducible: KV streams are separate. For measurements of
  quality it runs as models do for apps, several times as fast.
"""

import asyncio
import contextlib
import hashlib
import os
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from appliance.config import ModelConfig
from appliance.engine import protocol
from appliance.errors import TuningRefused, WorkerLost
from appliance.trust.bytes.sealed import SealedFile, seal_and_close, write_all
from appliance.trust.gguf.gguf import GgufFacts
from appliance.tuning.checks import Scored
from appliance.tuning.rows import TokenRow
from appliance.types import Constraint, GenerationRequest, Sampling, TaskNeeds
from appliance.workers.cpu_variants import Variant
from appliance.workers.memory_estimate import Estimate, estimate
from appliance.workers.process import Sealed, WorkerProcess

KEY: Final = "tuning"
_ADDRESS_SLACK: Final = 3 << 30
_SLOTS: Final = 4
SLACK: Final = 16
"""Tokens that an answer may have more than the expected one."""
_PREPARE_BYTES: Final = 4 << 20
_asked: Final = partial(GenerationRequest, "", sampling=Sampling(temperature=0))


class Weights(Protocol):
    """Weights that a worker can load: a verified model, or a file that a job made of it."""

    @property
    def sealed(self) -> SealedFile: ...

    @property
    def facts(self) -> GgufFacts: ...


def settings(longest: int, *, reproducible: bool) -> ModelConfig:
    """Settings to load the base; `longest`: most tokens of a row."""
    each = longest + 2 * SLACK
    if reproducible:
        return ModelConfig(n_ctx=each, slots=_SLOTS, reproducible=True, kept_prefixes=0)
    return ModelConfig(n_ctx=each * (_SLOTS + 1), slots=_SLOTS)  # one more for what is kept


def memory(model: Any, longest: int, variant: Variant, adapter_bytes: int) -> Estimate:
    """The memory of a worker in its larger mode, with an adapter."""
    modes = (settings(longest, reproducible=mode) for mode in (True, False))
    found = (estimate(model, config, variant.name, variant.wrong) for config in modes)
    return replace(max(found, key=lambda one: one.total), adapters=2 * adapter_bytes)


class Served:
    """A base in a worker. Make one with `serving`."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._gate = asyncio.Semaphore(_SLOTS)
        vocabulary = worker.ready.vocabulary
        if vocabulary is None:
            raise TuningRefused("tuning_architecture", "The base writes no text.")
        self._vocabulary = vocabulary

    async def begin(self) -> int | None:
        if not self._vocabulary.adds_bos:
            return None
        (token,) = await self.text(self._vocabulary.bos)
        return token

    async def text(self, text: str) -> tuple[int, ...]:
        request = protocol.Tokenize(self._worker.next_id(), _asked(prompt=text), special=False)
        return tuple((await self._worker.tokenize(request, KEY)).tokens)

    async def conversation(
        self, turns: Sequence[Mapping[str, str]], *, constrained: bool = False
    ) -> tuple[int, ...]:
        """Ready for the next answer.

        Args:
            constrained: a grammar follows, without room for reasoning.
        """
        talk = tuple(map(dict, turns))
        asked = _asked(messages=talk, thinking=False if constrained else None)
        request = protocol.Tokenize(self._worker.next_id(), asked)
        return tuple((await self._worker.tokenize(request, KEY)).tokens)

    async def strings(self, tokens: Sequence[int]) -> tuple[bytes, ...]:
        request = protocol.Tokenize(
            self._worker.next_id(), _asked(tokens=tuple(tokens)), strings=True
        )
        return tuple((await self._worker.tokenize(request, KEY)).strings)

    async def attach(self, digest: str, sealed: Sealed) -> None:
        """Raises as `WorkerProcess.attach`."""
        await self._worker.attach(digest, sealed)

    async def scores(self, rows: Sequence[TokenRow], adapter: str = "") -> list[Scored]:
        return await asyncio.gather(*(self._score(row, adapter) for row in rows))

    async def distributions(
        self, prompts: Sequence[Sequence[int]], labels: Sequence[str], adapter: str = ""
    ) -> list[list[float]]:
        """Logarithms of each label's probability."""

        async def one(prompt: Sequence[int]) -> list[float]:
            needs = TaskNeeds(labels=tuple(labels))
            asked = _asked(tokens=tuple(prompt), task=needs, max_tokens=1)
            rows = await self._run(asked, adapter)
            return array("f", rows[-1].vector).tolist()

        return await asyncio.gather(*(one(prompt) for prompt in prompts))

    async def answers(
        self, rows: Sequence[TokenRow], adapter: str = "", slack: int = SLACK
    ) -> list[tuple[str, bool]]:
        """Generate greedily; the flag is true where the model ended by itself.

        Args:
            slack: tokens beyond the expected answer's.
        """

        async def one(row: TokenRow) -> tuple[str, bool]:
            most = len(row.answer) + slack
            found = await self._run(_asked(tokens=tuple(row.prompt), max_tokens=most), adapter)
            return "".join(part.text for part in found), found[-1].finish == "stop"

        return await asyncio.gather(*(one(row) for row in rows))

    async def formed(
        self, rows: Sequence[TokenRow], form: Constraint, most: int | None, adapter: str = ""
    ) -> list[str | None]:
        """As an app gets it; None where the answer does not end."""
        whole = self._worker.ready.n_ctx

        async def one(row: TokenRow) -> str | None:
            room = whole - len(row.prompt)
            limit = room if most is None else min(most, room)
            asked = _asked(tokens=tuple(row.prompt), constraint=form, max_tokens=limit)
            found = await self._run(asked, adapter)
            text = "".join(part.text for part in found)
            return text if found[-1].finish == "stop" else None

        return await asyncio.gather(*(one(row) for row in rows))

    async def _score(self, row: TokenRow, adapter: str) -> Scored:
        first = len(row.prompt)
        asked = _asked(tokens=tuple(row.tokens), echo=True, logprobs=1, max_tokens=1)
        found = await self._run(asked, adapter, first)
        entries = [entry for part in found for entry in part.logprobs]
        answer = entries[: len(row.answer)]
        nats = tuple(-(entry.logprob or 0.0) for entry in answer)
        best = tuple(entry.top[0][0] for entry in answer)
        if len(entries) != len(row.answer) + 1:  # the last one is generated
            raise TuningRefused("tuning_failed", f"The server scored {len(entries)} tokens.")
        return Scored(nats, best, given=tuple(entry.token for entry in answer))

    async def _run(
        self, asked: GenerationRequest, adapter: str, echo_from: int = 0
    ) -> list[protocol.Row]:
        async with self._gate:
            number = self._worker.next_id()
            request = protocol.Prepare(
                number, asked, echo_from=echo_from, scope=KEY, adapter=adapter
            )
            await self._worker.prepare(request, KEY)
            queue = await self._worker.run(number)
            found: list[protocol.Row] = []
            while not found or found[-1].finish is None:
                row = await queue.get()
                if row is None:
                    raise WorkerLost("worker_lost", "The engine process of the tuning ended.")
                found.append(row)
            return found


@contextlib.asynccontextmanager
async def serving(
    model: Weights, longest: int, variant: Variant, threads: int, *, reproducible: bool = True
) -> AsyncIterator[Served]:
    """The base in a worker.

    Raises:
        StateRefused: the worker's code when the model does not load.
    """
    config = settings(longest, reproducible=reproducible)
    needs = estimate(model.facts, config, variant.name, variant.wrong)
    load = protocol.Load(
        variant=str(variant.path),
        refused=variant.refused,
        n_ctx=config.n_ctx,
        slots=config.slots,
        threads=threads,
        prefill_budget=config.prefill_budget,
        reproducible=reproducible,
        memory_bytes=needs.total + _ADDRESS_SLACK,
        max_prepare_bytes=_PREPARE_BYTES,
        on_disk=model.sealed.on_disk,
        gap_ms=config.target_gap_ms,
        kept=config.kept_prefixes,
        template=model.facts.chat_template or "",
    )
    worker = await WorkerProcess.start(model.sealed, load)
    pumping = asyncio.create_task(worker.pump())
    try:
        yield Served(worker)
    finally:
        worker.kill()
        await pumping


@contextlib.asynccontextmanager
async def attached(served: Served, data: bytes) -> AsyncIterator[str]:
    """Load an adapter's file next to the base; yields its digest."""
    digest = hashlib.sha256(data).hexdigest()
    memory_file = os.memfd_create("adapter", os.MFD_CLOEXEC)
    write_all(memory_file, memoryview(data))
    with contextlib.closing(seal_and_close(memory_file, "adapter.gguf")) as sealed:
        await served.attach(digest, sealed)
        yield digest
