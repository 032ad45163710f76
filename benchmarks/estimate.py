"""The estimate of a model's memory beside its worker's real peak.

Requests take a real worker to its peak: all slots at once over the whole cache, prompts whose every
position is scored, answers under a schema, every filter. Measured are the sealed file while a
process holds it, and the worker's anonymous and mapped memory (proc(5)).

usage: python -m benchmarks.estimate [--model MODEL] [--repeat N]
"""

import argparse
import asyncio
import contextlib
import random
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from appliance.app import Services, open_services
from appliance.config import Config, EngineConfig, ModelConfig
from appliance.types import Caller, Constraint, GenerationRequest, Limits, Sampling
from appliance.workers.memory_estimate import MIB, Estimate
from benchmarks.models import MODELS, gguf
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, ratios
from installer.bundle.steps import say
from tests.several import make_models

_SCHEMA: Final = Constraint(
    "json_schema",
    '{"type": "object", "additionalProperties": false, "required": ["name", "count"], '
    '"properties": {"name": {"type": "string", "maxLength": 20}, "count": {"type": "integer"}}}',
)
_SAMPLED: Final = Sampling(temperature=0.8, top_k=50, top_p=0.9, min_p=0.01, repetition_penalty=1.1)
_GREEDY: Final = Sampling(temperature=0.0)
_ORDINARY: Final = range(1_000, 40_000)  # token ids that are words in both vocabularies
SHAPES: Final = {
    "2,048 cells, 8 slots": ModelConfig(n_ctx=2048),
    "8,192 cells, 8 slots": ModelConfig(),
    "512 cells, 2 slots": ModelConfig(n_ctx=512, slots=2, kept_prefixes=0),
    "4,096 cells, 32 slots": ModelConfig(n_ctx=4096, slots=32),
    "512 cells for each of 8 slots": ModelConfig(n_ctx=512, reproducible=True),
}


@dataclass(frozen=True)
class Peak:
    """One worker's estimate and measurements, in bytes.

    Attributes:
        measured: the larger of the two peaks.
        loading: the peak until the model was loaded.
        resting: when it was loaded, before the first request.
        file: the model's file.
    """

    estimate: Estimate
    measured: int
    loading: int = 0
    resting: int = 0
    file: int = 0

    @property
    def ratio(self) -> float:
        """1 where the estimate is right."""
        return self.estimate.total / self.measured

    def row(self) -> dict[str, float]:
        """The parts, in MiB."""
        parts = {name: size / MIB for name, size in vars(self.estimate).items()}
        found = {
            "total": self.estimate.total,
            "measured": self.measured,
            "loading": self.loading,
            "resting": self.resting,
            "file": self.file,
        }
        return {**parts, **{name: size / MIB for name, size in found.items()}}


def data_of(root: Path, file: Path, name: str) -> Path:
    """A data directory with one approved model."""
    return make_models(root, {name: file})


async def peak(data: Path, name: str, settings: ModelConfig) -> Peak:
    """Load a model with these settings, take its worker to its peak, end it."""
    config = Config(engine=EngineConfig(), models={"default": settings})
    with open_services(data, config=config) as services:
        record = services.store.inventory.record(name)
        watch = Watch(services.store.inventory.size(name))
        watching = asyncio.create_task(watch.forever())
        try:
            await services.pool.load("uid:0", name)
            resting = watch.look()
            loading = watch.most
            _, secret = services.keys.create(f"app-{random.random()}", limits=Limits())
            principal = services.keys.authenticate(secret)
            app = Caller(principal, "r", "127.0.0.1", "/v1/completions")
            for requests in _loads(name, settings):
                await asyncio.gather(*(_answer(services, app, asked) for asked in requests))
                watch.look()
            needs = services.supervisor.estimate(name, services.store.inventory.facts(record))
            return Peak(needs, watch.most, loading, resting, watch.sealed)
        finally:
            watching.cancel()
            await services.inference.drain(30)
            await services.supervisor.close()


class Watch:
    """Memory of this process's new workers, and of the sealed file while one holds it.

    Args:
        sealed: bytes of the file.

    Attributes:
        most: the largest sum so far.
    """

    def __init__(self, sealed: int) -> None:
        self.sealed = sealed
        self.most = 0
        self._before = frozenset(_workers()), _held("self")

    async def forever(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.005)

    def look(self) -> int:
        """Bytes now."""
        others, old = self._before
        now, held = 0, _held("self") - old
        for pid in _workers():
            if pid in others:
                continue
            with contextlib.suppress(OSError):  # it has ended
                status = Path(f"/proc/{pid}/status").read_text()
                sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", status))
                now += sum(int(sizes.get(name, 0)) << 10 for name in ("RssAnon", "RssFile"))
                held |= _held(pid) - old
        now += self.sealed if held else 0
        self.most = max(self.most, now)
        return now


def _workers() -> list[str]:
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return found


def _held(pid: str) -> frozenset[int]:
    """Inodes of the sealed models that a process has open."""
    found = set[int]()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(fd.readlink()).startswith("/memfd:model"):
                found.add(fd.stat().st_ino)
    return frozenset(found)


def _loads(name: str, settings: ModelConfig) -> list[list[GenerationRequest]]:
    """Requests that run at once, group after group."""
    dice = random.Random(1)

    def prompt(count: int) -> GenerationRequest:
        tokens = tuple(dice.choices(_ORDINARY, k=count))
        return GenerationRequest(name, tokens=tokens, max_tokens=8, ignore_eos=True)

    slots = settings.slots
    each = settings.n_ctx // (1 if settings.reproducible else slots) - 16
    full = [replace(prompt(each), sampling=_SAMPLED) for _ in range(slots)]
    scored = [replace(prompt(48), echo=True, logprobs=5, max_tokens=2) for _ in range(slots)]
    guided = [
        replace(prompt(16), constraint=_SCHEMA, max_tokens=24, sampling=_GREEDY, ignore_eos=False)
        for _ in range(slots)
    ]
    return [full, scored, guided]


async def _answer(services: Services, caller: Caller, request: GenerationRequest) -> None:
    async for _ in await services.inference.start(caller, request):
        pass


def measure(model: str, repeat: int) -> None:
    """Measure a model in all shapes, and write the results."""
    begun = time.monotonic()
    figures, runs = [], []
    with tempfile.TemporaryDirectory() as place:
        data = data_of(Path(place), gguf(model), model)
        for shape, settings in SHAPES.items():
            peaks = [asyncio.run(peak(data, model, settings)) for _ in range(repeat)]
            estimated = [found.estimate.total / MIB for found in peaks]
            measured = [found.measured / MIB for found in peaks]
            value = Summary.of(ratios(estimated, measured))
            figures.append(
                Figure(
                    f"estimate / peak, {shape}", "MiB", value, Summary.of(estimated),
                    Summary.of(measured), "≤", 1.15,
                )
            )  # fmt: skip
            runs += [{"shape": shape, **found.row()} for found in peaks]
            say(f"  {model}, {shape}: {value.median:.3f}")
    keep(
        "estimate",
        model,
        "the estimate of memory",
        figures,
        time.monotonic() - begun,
        repeat,
        commands={"ours": f"python -m benchmarks.estimate --model {model} --repeat {repeat}"},
        runs=runs,
        notes=["below 1 the estimate would be too low; 0.85 is the least that is accepted"],
    )


def main() -> None:
    """Measure the models."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate")
    parser.add_argument("--model", action="append", choices=MODELS, default=[])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for model in options.model or MODELS:
        measure(model, options.repeat)


if __name__ == "__main__":
    main()
