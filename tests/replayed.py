"""A data directory and a mixed load whose answers are recorded, to be computed again.

Chat, text, JSON, choices, labels, values, tools, an adapter, conversations over kept prefixes and
several choices, greedy and sampled, many at once, so that each has other company than when it is
computed again.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.app import Services, open_services
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.errors import ApplianceError
from appliance.trust.artifacts import signing
from appliance.types import Caller, Constraint, GenerationRequest, Principal, Sampling, Tools
from appliance.wire.admin.results import AnswersReplayed
from tests.evals.orders import TASK, write_task
from tests.lora import add_adapter
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
    """A data directory with the model, an adapter, and a task of labels and one of values."""
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
    """The services with model and adapter in memory."""
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
    """So many answers under load; the numbers of their outcomes."""
    dice, found = random.Random(seed), list[int]()
    asked = [_request(random.Random(dice.random()), KINDS[n % len(KINDS)]) for n in range(count)]
    dice.shuffle(asked)

    async def app(number: int) -> None:
        principal = Principal(f"k{number % 3}", f"app {number % 3}")
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
    """The result of a replay job."""
    live = await services.jobs.start("replay", wanted, "uid:0")
    result = await live.outcome()
    assert isinstance(result, AnswersReplayed)
    return result
