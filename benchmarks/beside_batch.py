"""The cost of a batch for concurrent requests, before it starves and after.

Rules: windows with and without a batch take turns (A B, B A), with requests at the same moments.
Where the batch waits for others, requests come at half of the rate of one at a time; where it
starves, from so many clients that none of its lines would run, and `after_seconds = 1` stands for
ten minutes.

usage: python -m benchmarks.beside_batch [--pairs 4] [--window 25] (8 minutes on a machine that does
nothing else; writes results/beside_batch.md)
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import httpx
import msgspec

from benchmarks.beside_training import Pair, Window, asks, moments, one_takes, order, pooled
from benchmarks.loads import MODEL, Ask, chat, words
from benchmarks.measure import drive, load_of, summarise
from benchmarks.results import Figure
from benchmarks.servers import SLOTS, BenchError, Server, ours
from benchmarks.session import Workshop
from benchmarks.sheets import keep
from installer.bundle.steps import say

_LINES: Final = 5_000
_SHARE: Final = 0.5
_CROWD: Final = 2 * SLOTS
_ANSWER: Final = 24
_URL: Final = "/v1/chat/completions"
TARGETS: Final = {"waits": 1.1, "starves": 1.3}


@contextlib.contextmanager
def batch(server: Server, name: str) -> Iterator[None]:
    """A batch of another app, cancelled at the end."""
    bodies = [chat(MODEL, words(f"{name} {number}", 48), _ANSWER) for number in range(_LINES)]
    for body in bodies:
        del body["stream"], body["stream_options"]
    lines = [
        {"custom_id": str(number), "method": "POST", "url": _URL, "body": body}
        for number, body in enumerate(bodies)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    key = {"authorization": f"Bearer {server.keys[1]}"}
    url = f"http://127.0.0.1:{server.port}/v1"
    with httpx.Client(base_url=url, headers=key, timeout=60) as client:
        sent = client.post("/files", data={"purpose": "batch"}, files={"file": text}).json()
        asked = {"input_file_id": sent["id"], "endpoint": _URL, "completion_window": "24h"}
        made = client.post("/batches", json=asked).json()["id"]

        def wait(*states: str) -> None:
            while (found := client.get(f"/batches/{made}").json()).get("status") not in states:
                if found.get("status") in (None, "failed", "completed"):
                    raise BenchError(f"the batch is not {' or '.join(states)}: {found}")
                time.sleep(0.2)

        wait("in_progress")
        while not client.get(f"/batches/{made}").json()["request_counts"]["completed"]:
            time.sleep(0.2)
        yield
        before = client.get(f"/batches/{made}").json()["request_counts"]["completed"]
        say(f"    {before} lines were answered")
        client.post(f"/batches/{made}/cancel")
        wait("cancelled")


def window(server: Server, load: list[Ask], beside: bool, name: str, at_once: int) -> Window:
    """One window."""
    with batch(server, name) if beside else contextlib.nullcontext():
        answers = drive(load_of(server, load, concurrency=at_once))
    run = summarise("beside a batch" if beside else "alone", answers)
    say(f"  {run.side}: {run.requests} answers, {run.errors} errors, p95 {run.latency_p95:.0f} ms")
    return Window(answers, run, None)


def pairs(server: Server, how: str, count: int, seconds: float) -> list[Pair]:
    """Pairs of windows."""
    takes, found = one_takes(server, MODEL), list[Pair]()
    for number in range(count):
        at = moments(number, _SHARE / takes, seconds)
        at_once = SLOTS
        if how == "starves":
            at_once = _CROWD
            at = [0.0] * max(_CROWD, round(2 * seconds / takes))
        found.append(
            Pair(**{
                "beside" if beside else "alone": window(
                    server, asks(MODEL, number, f"{how} {beside}", at), beside,
                    f"{how} {number}", at_once,
                )
                for beside in order(number)
            })
        )  # fmt: skip
    return found


def figures(how: str, found: Sequence[Pair]) -> list[Figure]:
    """The promise is about the p95 of whole answers."""
    made = []
    for share in (0.95, 0.5):
        name = f"{how}: whole answer, p{share * 100:.0f}"
        figure = pooled(name, found, lambda answer: answer.seconds, share)
        wanted = TARGETS[how] if share == 0.95 else 0.0
        made.append(msgspec.structs.replace(figure, target=wanted))
    return made


def main() -> int:
    """Measure; the exit status says that it was possible, not that the target is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside_batch")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--window", type=float, default=25.0, help="seconds of a window")
    asked = parser.parse_args()
    begun, made = time.monotonic(), list[Figure]()
    with Workshop() as workshop:
        for how in TARGETS:
            lab = workshop.lab("smollm2", f"-batch-{how}")
            if how == "starves":
                with (lab.data / "appliance.toml").open("a") as file:
                    file.write("\n[batches]\nafter_seconds = 1\n")
            with ours(lab) as server:
                made += figures(how, pairs(server, how, asked.pairs, asked.window))
    command = f"python -m benchmarks.beside_batch --pairs {asked.pairs} --window {asked.window:g}"
    keep(
        "beside_batch", "smollm2", "answers beside a batch and alone", made,
        time.monotonic() - begun, asked.pairs, commands={"ours": command},
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
