"""The front in several processes (ADR 0093): processor time of an answer by process, and the rate.

Sides take turns: the server as it is, one front with a log process, several fronts with one, and
as many whole appliances. Engines that compute nothing answer; the clients are one light process.
Each log is verified at the end.

usage: python -m benchmarks.fronts [--answers 2000] [--rounds 5] [--clients 32] [--fronts 2]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from benchmarks.machine import CHECKOUT, processor_s
from benchmarks.upstreams import FrontSide, _engines, _idle, _ours, _until, load

_WARM: Final = 300
_END_S: Final = 30.0


@dataclass
class _Arranged:
    """A way to serve.

    Attributes:
        fronts: beside a log process; 0 for whole appliances.
    """

    name: str
    parts: list[FrontSide]
    fronts: int = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[list[int]]:
        """Process ids, a log process first."""
        started: list[subprocess.Popen[bytes]] = []
        try:
            for command, data in self._commands():
                env = {**os.environ, "APPLIANCE_DATA": str(data)}
                said = subprocess.DEVNULL
                started.append(
                    subprocess.Popen(command, cwd=CHECKOUT, env=env, stdout=said, stderr=said)
                )
                if command[3] == "log":
                    _until(Path(command[-1]).exists)
            _until(lambda: not uvloop.run(load(self.parts, 4, 2 * len(started))))
            yield [one.pid for one in started]
        finally:
            for one in started[1 if self.fronts else 0 :]:  # a log process ends after its fronts
                one.terminate()
            for one in started:
                try:
                    one.wait(_END_S)
                except subprocess.TimeoutExpired:
                    one.kill()
                    one.wait()

    def _commands(self) -> Iterator[tuple[list[str], Path]]:
        for part in self.parts:
            data = part.data or Path()
            if not self.fronts:
                yield [sys.executable, *part.command], data
                continue
            path = data.parent / "log.sock"
            path.unlink(missing_ok=True)
            split = [sys.executable, "-m", "benchmarks.split_log"]
            yield [*split, "log", str(data), str(path)], data
            for number in range(self.fronts):
                yield [*split, "front", str(data), str(path), str(number), str(part.port)], data

    def verify(self) -> None:
        """Have the log's own program read all of it."""
        for part in self.parts:
            env = {**os.environ, "APPLIANCE_DATA": str(part.data)}
            command = [sys.executable, "-m", "appliance", "audit", "verify"]
            subprocess.run(command, cwd=CHECKOUT, env=env, check=True, stdout=subprocess.DEVNULL)


def _measured(side: _Arranged, clients: int, answers: int) -> dict[str, Any]:
    with side.serving() as pids:
        uvloop.run(load(side.parts, clients, _WARM))
        _until(lambda: all(_idle(pid) for pid in pids))
        before, begun = [processor_s(pid) for pid in pids], time.perf_counter()
        failed = uvloop.run(load(side.parts, clients, answers))
        rate = answers / (time.perf_counter() - begun)
        spent = [
            (processor_s(pid) - was) / answers * 1e3 for pid, was in zip(pids, before, strict=True)
        ]
    apart = spent[0] if side.fronts else 0.0
    found = {"answer_ms": sum(spent), "log_ms": apart, "answers_s": rate, "failed": failed}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fronts")
    for name, default in (("answers", 2_000), ("rounds", 5), ("clients", 32), ("fronts", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    serve, many = ["-m", "appliance", "serve"], wanted.fronts
    with tempfile.TemporaryDirectory(prefix="fronts-") as place, _engines(2) as urls:

        def made(name: str) -> FrontSide:
            return _ours(Path(place), name, urls, serve)

        sides = [
            _Arranged("one process", [made("one")]),
            _Arranged("one front, a log process", [made("apart")], fronts=1),
            _Arranged(f"{many} fronts, a log process", [made("fronts")], fronts=many),
            _Arranged(f"{many} appliances", [made(f"member {n}") for n in range(many)]),
        ]
        found = defaultdict[str, list[dict[str, Any]]](list)
        for number in range(wanted.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                found[side.name].append(_measured(side, wanted.clients, wanted.answers))
                print(side.name, found[side.name][-1], file=sys.stderr, flush=True)
        for side in sides:
            side.verify()
        print(
            json.dumps(
                {
                    name: {key: round(median(one[key] for one in rounds), 3) for key in rounds[0]}
                    for name, rounds in found.items()
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
