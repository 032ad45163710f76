"""A small tuned task here beside a larger prompted model on llama-server, on the same documents.

Rules: the task is the one that `benchmarks.tuned` offered and the gate passed, served with audit
and keys; the larger model gets the same instruction and text, twenty solved examples, cached
before, and a grammar of the labels; both get the same unseen documents of `certify` over HTTP, in
turn. Logistic regression, fitted to the same rows, is timed in this process, without HTTP.

usage: python -m benchmarks.prompted licences --out DIR [--items N] [--repeat N]
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from appliance.statistics.paired import mcnemar
from appliance.tasks.classifiers.linear import fit_linear
from benchmarks import models, peer, servers
from benchmarks.results import Figure
from benchmarks.servers import BenchError
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, ratios
from benchmarks.task_forms import answers, asker, of_task
from benchmarks.tuned import EXAMPLES, LABELLED, Example, Steps, approve, served, shown
from examples.demo import DemoError
from installer.bundle.steps import say

SHOTS: Final = 20
OURS_AT_ONCE: Final = 8
PEER_AT_ONCE: Final = 4
"""Each has the examples in cells of its own; four keep two cores busy."""
TARGET: Final = 20.0
_MODEL: Final = "qwen"
_APP: Final = "headline"


@dataclass(frozen=True)
class Documents:
    """The documents, and what precedes them."""

    texts: list[str]
    labels: list[str]
    before: list[str]
    train: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        return sorted({label for _, label in self.train} | set(self.labels))


def documents(items: Sequence[dict[str, Any]], count: int) -> Documents:
    """Of `certify` and train, by digest."""
    ordered = sorted(items, key=lambda item: hashlib.sha256(item["id"].encode()).digest())
    unseen = [item for item in ordered if item["split"] == "certify"]
    asked, before = unseen[:count], unseen[count : count + OURS_AT_ONCE]
    train = [(i["input"]["text"], i["expected"]) for i in ordered if i["split"] == "train"]
    texts, labels = [i["input"]["text"] for i in asked], [i["expected"] for i in asked]
    return Documents(texts, labels, [i["input"]["text"] for i in before], train)


def prompted(example: Example, given: Documents) -> dict[str, Any]:
    """The body of a request to the larger model; `TEXT` stands for the document."""
    labels = ", ".join(given.names)
    turns = [{"role": "system", "content": f"{example.system} Answer with one of: {labels}."}]
    for text, label in given.train[:SHOTS]:
        turns.append({"role": "user", "content": shown(example, text)})
        turns.append({"role": "assistant", "content": label})
    turns.append({"role": "user", "content": "TEXT"})
    grammar = "root ::= " + " | ".join(map(json.dumps, given.names))
    return {"messages": turns, "grammar": grammar, "temperature": 0, "max_tokens": 32}


async def timed(
    server: tuple[int, str],
    body: Mapping[str, Any],
    before: Sequence[str],
    texts: Sequence[str],
    at_once: int,
) -> tuple[float, list[str]]:
    """Documents a second, and the answers.

    Args:
        server: port and key.
        before: asked first, to warm up.
    """
    port, secret = server
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"authorization": f"Bearer {secret}"},
        timeout=600,
    ) as client:
        ask = asker(client, body)
        await answers(ask, before, at_once)
        begun = time.monotonic()
        found = await answers(ask, texts, at_once)
        return len(texts) / (time.monotonic() - begun), found


def regression(given: Documents) -> tuple[float, list[str]]:
    """The same of logistic regression, one document after the other."""
    texts, labels = zip(*given.train, strict=True)
    fitted = fit_linear(list(texts), list(labels))
    begun = time.monotonic()
    found = []
    for text in given.texts:
        (shares,) = fitted.probabilities([text])
        found.append(fitted.labels[int(shares.argmax())])
    return len(found) / (time.monotonic() - begun), found


def right(found: Sequence[str], labels: Sequence[str]) -> list[bool]:
    """Which answers are right."""
    return [a.strip() == b for a, b in zip(found, labels, strict=True)]


def run(steps: Steps, name: str, count: int, repeat: int) -> None:
    """Measure and keep."""
    begun, example = time.monotonic(), EXAMPLES[name]
    items = [json.loads(line) for line in (steps.out / "items.jsonl").read_text().splitlines()]
    given = documents(items, count)
    if "approved" not in steps.done:
        approve(steps, "offered")
        key = steps.call("key", "create", _APP, "--models", "offered")
        steps.keep("approved", key["secret"])
    secret = steps.done["approved"]
    short, first = ([shown(example, x) for x in part] for part in (given.texts, given.before))
    ours, theirs, commands = [], [], {"ours": "python -m appliance serve --port PORT"}
    mine: list[str] = []
    other: list[str] = []
    for _ in range(repeat):
        with served(steps) as port:
            body, there = of_task("offered"), (port, secret)
            speed, mine = asyncio.run(timed(there, body, given.before, given.texts, OURS_AT_ONCE))
        ours.append(speed)
        say(f"  ours {speed:.2f} documents/s")
        with servers.peer(peer.chosen(), models.gguf(_MODEL)) as server:
            commands["peer"] = server.command
            body, there = prompted(example, given), (server.port, "none")
            speed, other = asyncio.run(timed(there, body, first, short, PEER_AT_ONCE))
        theirs.append(speed)
        say(f"  peer {speed:.2f} documents/s")
    linear, third = regression(given)
    keep(
        "prompted",
        f"smollm2, {name}",
        f"{name}: a tuned small model here beside a prompted larger one on llama-server",
        figures(given, ours, theirs, linear, (mine, other, third)),
        time.monotonic() - begun,
        repeat,
        commands=commands,
        notes=[f"{len(given.texts)} documents of certify; {OURS_AT_ONCE} at once here, "
               f"{PEER_AT_ONCE} there; the peer is {models.gguf(_MODEL).name} with {SHOTS} solved "
               "examples in its cache and a grammar of the labels",
               "logistic regression is timed in one process, without HTTP, log and keys"],
    )  # fmt: skip


def figures(
    given: Documents,
    ours: Sequence[float],
    theirs: Sequence[float],
    linear: float,
    found: tuple[Sequence[str], Sequence[str], Sequence[str]],
) -> list[Figure]:
    """Speed and accuracy of the three, and McNemar's test of ours against each other one."""
    mine, other, third = (right(one, given.labels) for one in found)
    speed = Summary.of(ratios(list(ours), list(theirs)))
    sides = Summary.of(list(ours)), Summary.of(list(theirs))
    unit = "documents/s"
    made = [
        Figure("tuned here / prompted on the peer", unit, speed, *sides, "≥", TARGET),
        Figure("logistic regression", unit, Summary.of([linear])),
    ]
    for name, one in (("tuned", mine), ("prompted", other), ("logistic regression", third)):
        against = ""
        if one is not mine:
            gained = sum(a and not b for a, b in zip(mine, one, strict=True))
            lost = sum(b and not a for a, b in zip(mine, one, strict=True))
            against = f", p against tuned {mcnemar(gained, lost):.2g}"
        made.append(Figure(f"{name}, exact match{against}", "", Summary.of([sum(one) / len(one)])))
    return made


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompted")
    parser.add_argument("name", choices=LABELLED)
    parser.add_argument("--out", type=Path, required=True, help="of benchmarks.tuned")
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    steps = Steps(asked.out.absolute())
    if steps.done.get("gate", {}).get("verdict") != "pass":
        say("failed: no gate has passed a task there; run `python -m benchmarks.tuned` first")
        return 1
    try:
        run(steps, asked.name, asked.items, asked.repeat)
    except (DemoError, BenchError) as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
