"""A data directory and a mixed load whose answers are recorded, to be computed again.

Many requests of every kind at once.
"""

import asyncio
import contextlib
import json
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance.admission.places import Place
from appliance.app import Services, open_services
from appliance.audit.recorded_answer import RecordedAnswer
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.engine.logprobs import CHOSEN
from appliance.engine.protocol import Load
from appliance.errors import ApplianceError
from appliance.serving.answer_numbers import PART, AnswerNumbers, Computed, token_of
from appliance.serving.backend import PreparedRequest
from appliance.serving.local_worker import LocalWorker
from appliance.serving.recorded_request import request_of
from appliance.trust.artifacts import signing
from appliance.trust.bytes.sealed import seal_and_close
from appliance.types import (
    Caller,
    Constraint,
    Delta,
    GenerationRequest,
    ModelCard,
    Principal,
    Sampling,
    Tools,
)
from appliance.wire.admin.results import AnswersReplayed
from appliance.workers.process import WorkerProcess
from tests.evals.orders import TASK, write_task
from tests.lora import add_adapter, write_lora
from tests.smol import APPROVERS, ID, approve, key, make_data, quiet
from tests.tasks import example

LABELS, FIELDS, ADAPTER = "orders", "orders-fields", f"{ID}:fr"
_FIELDS = example.FIELDS.replace("smollm2-135m", ID)
_SCHEMA = json.dumps({
    "type": "object", "additionalProperties": False, "required": ["part", "count"],
    "properties": {"part": {"type": "string", "maxLength": 12}, "count": {"enum": [1, 2, 3]}},
})  # fmt: skip
_FUNCTION = {
    "name": "order", "description": "Order a part.",
    "parameters": {"type": "object", "properties": {"part": {"enum": ["hose", "pump"]}},
                   "required": ["part"], "additionalProperties": False},
}  # fmt: skip
_WORDS = (
    "hose", "pump", "piston", "turbo", "filter", "cable", "lamp", "battery", "leaks", "broken",
)  # fmt: skip


def config(threads: int = 1, **settings: Any) -> Config:
    """Six answers at once over a cache that is full now and then."""
    shape = {"n_ctx": 1024, "slots": 6, "kept_prefixes": 8, **settings}
    return Config(
        engine=EngineConfig(threads=threads),
        models={"default": ModelConfig(**shape)},
        audit=AuditConfig(ballast_mib=0),
    )


def make(root: Path, gguf: Path) -> Path:
    data = make_data(root, gguf)
    with open_services(data, config=config()) as services:
        add_adapter(services, "fr", 7, strength=1.0)
        schema = {
            "type": "object", "additionalProperties": False, "required": ["side", "count"],
            "properties": {"side": {"enum": ["left", "right"]}, "count": {"enum": [1, 2]}},
        }  # fmt: skip
        fields = root / FIELDS
        for path, text in ((root / LABELS, TASK), (fields, _FIELDS)):
            digest = services.store.inventory.record(ID).digest or ""
            write_task(path, text.replace(_digest(text), digest))
        (fields / "schema.json").write_text(json.dumps(schema))
        for path in (root / LABELS, fields):
            _import(services, path)
    return data


def _digest(text: str) -> str:
    return text.split('digest = "')[1].split('"')[0]


def _import(services: Services, path: Path) -> None:
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, None, quiet)
    approve(services, path.name, *APPROVERS)


@contextlib.asynccontextmanager
async def serving(data: Path, settings: Config) -> AsyncIterator[Services]:
    with open_services(data, config=settings) as services:
        await services.pool.load("uid:0", ID)  # and the adapter with it
        try:
            yield services
        finally:
            await services.inference.drain(60)
            await services.supervisor.close()


def _request(dice: random.Random, kind: str) -> GenerationRequest:
    text = " ".join(dice.choices(_WORDS, k=dice.choice([3, 8, 30, 63])))
    chat = ({"role": "user", "content": f"Work order: {text}"},)
    sampled = Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.2)
    greedy, warm = Sampling(temperature=0.0), Sampling(temperature=0.9, top_k=40)
    sampling = dice.choice([greedy, warm, sampled])
    plain = GenerationRequest(
        ID, prompt=text, max_tokens=dice.randrange(1, 24), sampling=sampling, stop=("leaks",)
    )
    told = replace(plain, prompt=None, messages=chat, stop=())
    match kind:
        case "text":
            return plain
        case "choices":
            return replace(plain, n=2, best_of=3, max_tokens=6)
        case "adapter":
            return replace(told, model=ADAPTER)
        case "json":
            return replace(told, constraint=Constraint("json_schema", _SCHEMA), max_tokens=60)
        case "tools":
            return replace(told, tools=Tools((_FUNCTION,), ("order",)), max_tokens=60)
        case "labels" | "values":
            asked = ({"role": "user", "content": json.dumps({"text": text})},)
            return GenerationRequest(LABELS if kind == "labels" else FIELDS, messages=asked)
        case _:
            return told


KINDS = ("text", "chat", "choices", "adapter", "json", "tools", "labels", "values")


async def answers(services: Services, count: int, seed: int, at_once: int = 12) -> list[int]:
    """Answers under load; the numbers of their outcomes."""
    dice, found = random.Random(seed), list[int]()
    asked = [_request(random.Random(dice.random()), KINDS[n % len(KINDS)]) for n in range(count)]
    dice.shuffle(asked)
    known = {key.name: key.id for key in services.keys.list()}
    apps = [
        # Keys that exist: after a wait of half a second a key is checked again.
        Principal(known.get(name) or services.keys.create(name)[0].id, name)
        for name in ("app 0", "app 1", "app 2")
    ]

    async def app(number: int) -> None:
        principal = apps[number % 3]
        turns: tuple[dict[str, str], ...] = ()
        while asked:
            wanted = asked.pop()
            if wanted.messages and wanted.model == ID and len(turns) < 6 and number % 2:
                wanted = replace(wanted, messages=(*turns, *wanted.messages))  # a conversation
            caller = Caller(principal, f"req-{seed}-{len(asked)}", "127.0.0.1", "/v1/mixed")
            generation = await services.inference.start(caller, wanted)
            text = ""
            with contextlib.suppress(ApplianceError):
                async for delta in generation:
                    text += delta.text
            if wanted.messages and wanted.model == ID:
                turns = (*wanted.messages[-1:], {"role": "assistant", "content": text or "?"})
            if generation.outcome is not None:
                found.append(generation.outcome.seq)

    await asyncio.gather(*map(app, range(at_once)))
    return found


async def replayed(services: Services, **wanted: Any) -> AnswersReplayed:
    live = await services.jobs.start("replay", wanted, "uid:0")
    result = await live.outcome()
    assert isinstance(result, AnswersReplayed)
    return result


@dataclass(frozen=True)
class Alteration:
    """The worker with one change: weights, template, adapter, kernels or sampler.

    Attributes:
        adapter: its seed.
    """

    name: str
    weights: Callable[[bytearray], None] | None = None
    load: Callable[[Load], Load] = lambda load: load
    adapter: int = 7
    request: Callable[[GenerationRequest], GenerationRequest] = lambda request: request


class Sampled(LocalWorker):
    """A worker with another sampler."""

    def __init__(self, change: Callable[[GenerationRequest], GenerationRequest], **parts: Any):
        super().__init__(**parts)
        object.__setattr__(self, "change", change)

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        changed: GenerationRequest = self.change(request)  # type: ignore[attr-defined]
        return await super().prepare(changed, principal, changed.seed or 0)


@dataclass(frozen=True)
class Elsewhere:
    """Backends whose models claim to be those of the services, and compute otherwise."""

    services: Services
    worker: WorkerProcess
    request: Callable[[GenerationRequest], GenerationRequest]

    def cards(self) -> list[ModelCard]:
        return self.services.pool.cards()

    def slots(self, model_id: str) -> int:
        return self.services.pool.slots(model_id)

    async def open(self, model_id: str, key_id: str, place: Place) -> LocalWorker:
        supervisor = self.services.supervisor
        model, _ = supervisor.worker(model_id, key_id)
        return Sampled(
            self.request,
            card=supervisor.card(model_id),
            model=model,
            worker=self.worker,
            engine=supervisor.engine_for(model.id),
            obstacle=None,
            adapter=supervisor.adapters.find(model_id),
        )


@contextlib.asynccontextmanager
async def altered(services: Services, change: Alteration, gguf: Path) -> AsyncIterator[Elsewhere]:
    served = services.supervisor.find(ID)
    assert served is not None
    load = change.load(services.supervisor.load_of(served, services.supervisor.variant.get()))
    with tempfile.TemporaryDirectory() as place:
        weights, adapter = Path(place, "model.gguf"), Path(place, "adapter.gguf")
        data = bytearray(gguf.read_bytes())
        if change.weights is not None:
            change.weights(data)
        weights.write_bytes(data)
        write_lora(gguf, adapter, change.adapter, strength=1.0)
        model, lora = (
            seal_and_close(os.open(path, os.O_RDONLY), path.name) for path in (weights, adapter)
        )
    (digest,) = (found.digest for found in services.supervisor.adapters)
    worker = await WorkerProcess.start(model, load, {digest: lora})
    pump = asyncio.create_task(worker.pump())
    try:
        yield Elsewhere(services, worker, change.request)
    finally:
        worker.kill()
        await pump
        model.close()
        lora.close()


def flipped(seed: int, bits: int = 1) -> Callable[[bytearray], None]:
    """Low bits of quantised weights."""

    def change(data: bytearray) -> None:
        dice = random.Random(seed)
        for _ in range(bits):
            data[dice.randrange(len(data) // 10, len(data))] ^= 1

    return change


async def logprobs(
    worker: LocalWorker, asked: GenerationRequest, forced: Collection[int] = ()
) -> list[bytes]:
    """The log-probabilities of the chosen tokens as 32-bit floats, and vectors: by brute force.

    Args:
        forced: tokens without one.
    """
    told = asked if asked.texts or asked.task.labels else replace(asked, logprobs=0)
    prepared = await worker.prepare(told, Principal("brute", "brute"), asked.seed or 0)
    found: list[bytes] = []
    at = 0
    async for piece in worker.run(prepared):
        values = [one.logprob or 0.0 for n, one in enumerate(piece.logprobs, at) if n not in forced]
        at += len(piece.logprobs)
        found.append(np.array(values, np.float32).tobytes() + piece.vector)
    return sorted(found) if asked.choices > 1 else [b"".join(found)]


def forced_tokens(answer: RecordedAnswer) -> set[int]:
    """The places of the tokens that a grammar forced, in an answer of one choice."""
    first, *others = AnswerNumbers.read(answer.outcome.texts[PART]).choices
    found = set[int]()
    for place, kept in enumerate(() if others else first.each()):
        zeros = Computed(b"", 1)
        zeros.take(0, b"", CHOSEN.pack(token_of(kept), 0, 0))
        if zeros.numbers().choices[0].each() == [kept]:
            found.add(place)
    return found


async def moves(services: Services, elsewhere: Elsewhere, answer: RecordedAnswer) -> bool:
    """True if any chosen log-probability is another one there, be it by one unit."""
    asked = request_of(answer.intent.body, answer.intent.texts)
    forced = forced_tokens(answer)
    model, worker = services.supervisor.worker(asked.model, "brute")
    here = LocalWorker(
        services.supervisor.card(asked.model), model, worker,
        services.supervisor.engine_for(model.id), None,
        services.supervisor.adapters.find(asked.model),
    )  # fmt: skip
    place = services.shares.admit(Principal("brute", "brute"), ID, 6)
    try:
        there = await elsewhere.open(asked.model, "brute", place)
        return await logprobs(here, asked, forced) != await logprobs(there, asked, forced)
    finally:
        place.leave(0, 0)


async def unwritten(digest: str, prepared: PreparedRequest, pieces: Sequence[Delta]) -> str | None:
    return None
