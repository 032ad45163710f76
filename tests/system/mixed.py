"""Requests to three models and two adapters, under a budget that holds two of the models.

Recorded: whether each answer was that of its model alone, refusals, the memory of the server and of
its workers as the requests go by, loads and evictions.
"""

import asyncio
import contextlib
import itertools
import random
import re
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openai import APIStatusError, AsyncOpenAI

from appliance.app import Services
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.workers.memory_estimate import MIB
from benchmarks.machine import children
from tests.lora import add_adapter
from tests.smol import APPROVERS, ID, approve, quiet, signed_artifact
from tests.system.conftest import Server, serving

MODELS = (ID, "two", "three")
IDS = (ID, f"{ID}:fr", f"{ID}:de", *MODELS[1:])
AT_ONCE = 24
"""Requests under way; with fewer, most of a run is loading for the few that wait for it."""
FLAT = 1.05
"""Most that the server's memory may grow after the first fifth of the requests."""
_PROMPTS = tuple(f"Report {n}: the pump" for n in range(4))
_SETTINGS = """
[engine]
threads = 1
load_wait_seconds = 600
[models.default]
n_ctx = 512
slots = 4
reproducible = true
"""


@dataclass(frozen=True)
class Sample:
    """Memory at one moment, in resident MiB; of each worker also its sealed file."""

    answered: int
    seconds: float
    server: float
    workers: float


@dataclass
class Run:
    """Results of a run.

    Attributes:
        wrong: answers that were not those of their model alone.
        refused: requests that were not answered, by code.
        events: of models in the log: (event, model), how often.
    """

    requests: int
    budget_mib: float
    seconds: float = 0.0
    wrong: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def happened(self, event: str) -> dict[str, int]:
        return {model: n for (what, model), n in sorted(self.events.items()) if what == event}

    def problems(self) -> list[str]:
        said = []
        if self.wrong:
            said.append(f"{self.wrong} answers were not those of their model")
        if self.refused:
            said.append(f"refused: {dict(self.refused)}")
        if not self.happened("evict"):
            said.append("no model made room for another")
        most = max(sample.workers for sample in self.samples)
        if most > self.budget_mib:
            said.append(f"the workers had {most:.0f} of {self.budget_mib:.0f} MiB")
        grown = growth([sample.server for sample in self.samples])
        if grown > FLAT:
            said.append(f"the server grew to {grown:.2f} times its size")
        return said


def growth(sizes: Sequence[float]) -> float:
    """How much larger the last fifth is than the second, by their medians; the first warms up."""
    fifth = len(sizes) // 5
    if not fifth:
        raise ValueError(f"{len(sizes)} samples say nothing about growth")
    return statistics.median(sizes[-fifth:]) / statistics.median(sizes[fifth : 2 * fifth])


@contextlib.contextmanager
def three_models(
    directory: Path, model: Path, program: tuple[str, ...] = ("-m", "appliance")
) -> Iterator[tuple[Server, float]]:
    """A server with three models and two adapters, and its budget in MiB, for two of the models."""
    budget = 0.0

    def prepare(services: Services) -> None:
        nonlocal budget
        gguf = services.data / "models" / ID / "model.gguf"
        for name in MODELS[1:]:
            artifact = signed_artifact(services.data, gguf, directory / name)
            services.lifecycle.import_model("uid:0", artifact, None, quiet)
            approve(services, name, *APPROVERS)
            shutil.rmtree(artifact)
        for seed, name in enumerate(("fr", "de")):
            add_adapter(services, name, seed, strength=1.0)
        needs = [services.pool.model(name).needs for name in MODELS]
        sizes = sorted(found.total for found in needs if found)
        budget = sum(sizes[-2:]) // MIB + 1
        file = services.data / "appliance.toml"
        text = file.read_text()
        file.write_text(text.replace("[engine]\n", f"[engine]\nmemory_mib = {budget}\n"))

    with serving(directory, model, _SETTINGS, prepare, program) as server:
        yield server, budget


async def mixed(
    server: Server, budget_mib: float, requests: int, *, ids: Sequence[str] = IDS, word: str = ""
) -> Run:
    run = Run(requests, budget_mib)
    every = max(1, requests // 50)
    begun, seen = time.monotonic(), _log_size(server)
    cases = list(itertools.product(ids, (f"{word}{prompt}" for prompt in _PROMPTS)))
    drawn = random.Random(1).choices(cases, k=requests)
    answered = 0
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=server.secrets[0], max_retries=0, timeout=900
    ) as client:
        alone = {case: await _ask(client, *case) for case in cases}
        gate = asyncio.Semaphore(AT_ONCE)

        async def again(case: tuple[str, str]) -> None:
            nonlocal answered
            async with gate:
                try:
                    run.wrong += await _ask(client, *case) != alone[case]
                except APIStatusError as error:
                    run.refused[str(error.code)] += 1
                answered += 1
                if answered % every == 0:
                    run.samples.append(_sample(server, answered, time.monotonic() - begun))

        await asyncio.gather(*map(again, drawn))
    if len(set(alone.values())) <= len(ids):
        raise RuntimeError("a mix-up of models would not show in the texts")
    run.seconds = time.monotonic() - begun
    run.events = _events(server, seen)
    return run


async def _ask(client: AsyncOpenAI, model: str, prompt: str) -> str:
    answer = await client.completions.create(
        model=model, prompt=prompt, max_tokens=6, temperature=0, extra_body={"ignore_eos": True}
    )
    return answer.choices[0].text


def _sample(server: Server, answered: int, seconds: float) -> Sample:
    workers = sum(filter(None, map(_worker, children(server.process.pid))))
    own = _sizes(server.process.pid)["VmRSS"]
    return Sample(answered, seconds, own / MIB, workers / MIB)


def _worker(pid: int) -> int:
    try:
        if "appliance.engine.worker" not in Path(f"/proc/{pid}/cmdline").read_text():
            return 0
        sizes = _sizes(pid)
        return sizes["RssAnon"] + sizes["RssFile"] + sizes["RssShmem"]
    except (OSError, KeyError):
        return 0


def _sizes(pid: int) -> dict[str, int]:
    status = Path(f"/proc/{pid}/status").read_text()
    return {name: int(kib) << 10 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", status)}


def _log_size(server: Server) -> int:
    reader = LogReader(server.data / "audit")
    try:
        return reader.size
    finally:
        reader.close()


def _events(server: Server, seen: int) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    reader = LogReader(server.data / "audit")
    try:
        after = seen - 1
        while entries := reader.search(Query(kind="model", after=after, limit=1000)).entries:
            after = max(entry.seq for entry in entries)
            for entry in entries:
                event, state = str(entry.body["event"]), str(entry.body["state"])
                what = state if event == "state" else event
                found[what, str(entry.body["model"])] += 1
    finally:
        reader.close()
    return found
