"""Five thousand requests to three models and two adapters under a budget for two of the models.

Each answer must be its model's alone, none may be refused, the workers must stay within the budget
and the server's memory, in a process of its own, must not grow.

usage: python -m benchmarks.mixed_load [--requests N]
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.models import gguf
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from installer.bundle.steps import say
from tests.system.mixed import AT_ONCE, FLAT, Run, growth, mixed, three_models


def write(run: Run) -> None:
    """Keep what happened."""
    server = [sample.server for sample in run.samples]
    workers = [sample.workers for sample in run.samples]
    loads, evictions = (sum(run.happened(what).values()) for what in ("serving", "evict"))
    waits = run.seconds / run.requests * 1000
    keep(
        "mixed_load",
        "smollm2",
        "three models and two adapters, a budget for two models",
        [
            _one("server memory, last fifth / second fifth", growth(server), "≤", FLAT),
            _one("most memory of the workers / budget", max(workers) / run.budget_mib, "≤", 1.0),
            _one("wrong answers", run.wrong, "≤", 0),
            _one("refused requests", sum(run.refused.values()), "≤", 0),
            Figure("server memory", "MiB", Summary.of(server)),
            Figure("memory of the workers", "MiB", Summary.of(workers)),
            _one("models and adapters loaded", loads),
            _one("evicted", evictions),
            _one(f"milliseconds a request, {AT_ONCE} at once", waits),
        ],
        run.seconds,
        1,
        commands={"ours": f"python -m benchmarks.mixed_load --requests {run.requests}"},
        runs=[
            {
                "requests": run.requests,
                "budget_mib": run.budget_mib,
                "refused": dict(run.refused),
                "loaded": run.happened("serving"),
                "evicted": run.happened("evict"),
                "load_refused": run.happened("load_refused"),
                "samples": [asdict(sample) for sample in run.samples],
            }
        ],
        notes=[f"{run.requests} requests in {run.seconds:.0f} s, one run"],
    )


def _one(name: str, value: float, relation: str = "", target: float = 0.0) -> Figure:
    return Figure(name, "", Summary.of([value]), relation=relation, target=target)  # type: ignore[arg-type] # one of the relations


async def _run(requests: int) -> Run:
    with (
        tempfile.TemporaryDirectory() as place,
        three_models(Path(place), gguf("smollm2")) as served,
    ):
        return await mixed(*served, requests)


def main() -> int:
    """Run it, keep it; the exit status says that all was well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed_load")
    parser.add_argument("--requests", type=int, default=5_000)
    run = asyncio.run(_run(parser.parse_args().requests))
    write(run)
    for problem in run.problems():
        say(f"PROBLEM: {problem}")
    return 1 if run.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
