"""Documents per second of a task's forms side by side, and the steadiness of its labels.

Rules: the same work orders and the same prompt for every form; eight requests at once over HTTP to
`appliance serve` with audit and keys; an untuned model. The peer is llama-server with a grammar
that allows the same answers. Labels are steady when each stays the same beside eight other clients.

usage: python -m benchmarks.task_forms [--items N] [--timed N] [--repeat N] [--without-peer]
       python -m benchmarks.task_forms --steadiness [--items N]
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from benchmarks import models, peer, servers
from benchmarks.loads import MODEL
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Lab, Server
from benchmarks.sheets import keep
from benchmarks.statistics import Summary, ratios
from installer.bundle import examples
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.steps import say

AT_ONCE: Final = 8
FORMS: Final = ("labels", "spelled", "values", "json", "classifier")
STEADY: Final = 0.995
_MODEL: Final = "smollm2"
_SYSTEM: Final = "You read work orders of mining excavators. Answer about the work order alone."
_FIELDS: Final = ("action", "failure_mode", "part", "side")
_HEAD: Final = """\
id = "{id}"
version = 1
description = "Work order to what it is about."
input = [{{ name = "text", max_chars = 2000 }}]

[candidate]
{candidate}

[prompt]
system = "{system}"
user = "Work order: {{{{ text }}}}"

[output]
{output}

[gate]
metric = "exact_match"
margin = 0.05
"""

Asker = Callable[[str], Awaitable[str]]
"""Gives the answer for a work order."""


class Orders:
    """Work orders, their systems and their fields; `count` are asked."""

    def __init__(self, count: int) -> None:
        known, root = examples.examples(), cache_root() / "examples"
        systems = _lines(examples.obtain(root, known["excavators"]))
        fields = _lines(examples.obtain(root, known["excavator-fields"]))
        train = [item for item in systems if item.get("split") == "train" and "expected" in item]
        self.pairs = [(item["input"]["text"], item["expected"]) for item in train]
        self.labels = sorted({label for _, label in self.pairs})
        texts = dict.fromkeys(i["input"]["text"] for i in systems if i.get("split") == "dev")
        self.asked = list(texts)[:count]
        self.schema = _schema([item["expected"] for item in fields if "expected" in item])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _schema(expected: Sequence[Mapping[str, str | None]]) -> dict[str, Any]:
    values = {name: sorted({item[name] for item in expected} - {None}, key=str) for name in _FIELDS}
    return {
        "type": "object",
        "properties": {name: {"enum": [*values[name], None]} for name in _FIELDS},
        "required": list(_FIELDS),
        "additionalProperties": False,
    }


def tasks(root: Path, orders: Orders, digest: str) -> dict[str, Path]:
    """The directories of the tasks.

    The model knows the codes of `labels` from the system message; it spells those of `spelled`.
    """
    model = f'model = "{MODEL}"\ndigest = "{digest}"'
    labels = f'form = "labels"\nlabels = {json.dumps(orders.labels)}'
    fields = 'form = "fields"\nschema = "schema.json"\nencoding = "{}"'
    codes = json.dumps([chr(ord("A") + n) for n in range(len(orders.labels))])
    outputs = {
        "labels": (model, f"{labels}\ncodes = {codes}"),
        "spelled": (model, labels),
        "values": (model, fields.format("values")),
        "json": (model, fields.format("json")),
        "classifier": ('kind = "classifier"\nclassifier = "classifier.json"', labels),
    }
    made = {}
    for name, (candidate, output) in outputs.items():
        path = made[name] = root / name
        path.mkdir(parents=True)
        system = _SYSTEM + (f" {coded(orders)}" if name == "labels" else "")
        text = _HEAD.format(id=name, candidate=candidate, system=system, output=output)
        (path / "task.toml").write_text(text)
        if "schema.json" in output:
            (path / "schema.json").write_text(json.dumps(orders.schema))
    fitted = fit_linear([text for text, _ in orders.pairs], [label for _, label in orders.pairs])
    (made["classifier"] / "classifier.json").write_bytes(document.write(fitted))
    return made


def coded(orders: Orders) -> str:
    """What each code stands for."""
    pairs = (f"{chr(ord('A') + n)}: {label}" for n, label in enumerate(orders.labels))
    return "Answer with one letter. " + ", ".join(pairs)


def bring_in(lab: Lab, root: Path, orders: Orders) -> None:
    """Sign, import and approve the tasks, by command."""
    digest = servers.appliance(lab.data, "model", "show", MODEL)["digest"]
    keys = lab.data / "keys" / "lab"
    for name, path in tasks(root, orders, digest).items():
        servers.appliance(lab.data, "task", "sign", str(path), "--key", str(keys / "publisher.pem"))
        servers.appliance(lab.data, "task", "import", str(path))
        for person in ("approver-1", "approver-2"):
            servers.appliance(
                lab.data,
                *("model", "approve", name, "--as", person, "--key", str(keys / f"{person}.pem")),
                *("--meaning", "measured in the lab"),
            )


def gbnf(orders: Orders, form: str) -> str:
    """The grammar that a user of llama-server would write."""
    if form in ("labels", "spelled"):
        codes = [chr(ord("A") + n) for n in range(len(orders.labels))]
        words = codes if form == "labels" else orders.labels
        return "root ::= " + " | ".join(map(json.dumps, words))
    rules = [
        f"{name.replace('_', '-')} ::= "
        + " | ".join(json.dumps(json.dumps(value)) for value in rule["enum"])
        for name, rule in orders.schema["properties"].items()
    ]
    parts = ' "," '.join(json.dumps(f'"{n}":') + f" {n.replace('_', '-')}" for n in _FIELDS)
    return "\n".join([f'root ::= "{{" {parts} "}}"', *rules])


def asker(client: httpx.AsyncClient, body: Mapping[str, Any]) -> Asker:
    """Asks over chat completions; the last message of `body` is a template."""

    async def ask(text: str) -> str:
        *before, last = body["messages"]
        turn = {"role": "user", "content": last["content"].replace("TEXT", text)}
        reply = await client.post(
            "/v1/chat/completions", json={**body, "messages": [*before, turn]}
        )
        if reply.status_code != 200:
            raise BenchError(f"{reply.status_code}: {reply.text[:300]}")
        answer: str = reply.json()["choices"][0]["message"]["content"]
        return answer

    return ask


def of_task(name: str) -> dict[str, Any]:
    """The body that names a task."""
    return {"model": name, "messages": [{"role": "user", "content": "TEXT"}]}


def of_peer(orders: Orders, form: str) -> dict[str, Any]:
    """The same prompt with a grammar."""
    system = _SYSTEM + (f" {coded(orders)}" if form == "labels" else "")
    turns = [
        {"role": "system", "content": system},
        {"role": "user", "content": "Work order: TEXT"},
    ]
    grammar = gbnf(orders, form)
    return {"messages": turns, "grammar": grammar, "temperature": 0, "max_tokens": 128}


async def answers(ask: Asker, texts: Sequence[str], at_once: int = AT_ONCE) -> list[str]:
    """The answers, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(text: str) -> str:
        async with gate:
            return await ask(text)

    return list(await asyncio.gather(*map(one, texts)))


async def speed(ask: Asker, texts: Sequence[str]) -> float:
    """Documents per second; a few are asked before, so that the prompt is in the cache."""
    await answers(ask, texts[:AT_ONCE])
    begun = time.monotonic()
    await answers(ask, texts)
    return len(texts) / (time.monotonic() - begun)


async def unchanged(server: Server, texts: Sequence[str]) -> float:
    """The share of labels that are the same alone and beside eight clients that write text."""
    async with client_of(server) as client, client_of(server, 1) as others:
        ask = asker(client, of_task("labels"))
        alone = await answers(ask, texts, at_once=1)

        async def write(number: int) -> None:
            while True:
                prompt = f"Client {number} writes about a pump:"
                body = {"model": MODEL, "prompt": prompt, "max_tokens": 64, "seed": number}
                await others.post("/v1/completions", json=body)

        writing = [asyncio.create_task(write(number)) for number in range(AT_ONCE)]
        try:
            beside = await answers(ask, texts)
        finally:
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
    return sum(a == b for a, b in zip(alone, beside, strict=True)) / len(texts)


def client_of(server: Server, key: int = 0) -> httpx.AsyncClient:
    """A client of one of the server's apps."""
    secret = server.keys[key] if server.keys else server.key
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}",
        headers={"authorization": f"Bearer {secret}"},
        timeout=300,
    )


async def speeds(server: Server, bodies: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Documents per second of each body."""
    async with client_of(server) as client:
        return {name: await speed(asker(client, body), texts) for name, body in bodies.items()}


@contextlib.contextmanager
def laboratory(orders: Orders) -> Iterator[Lab]:
    """A data directory with the model and the tasks, removed at the end."""
    root = cache_root() / "benchmarks"
    with exclusive(root / "measuring.lock"):
        try:
            lab = servers.prepare_lab(root / "task-forms", models.gguf(_MODEL))
            bring_in(lab, root / "task-forms" / "tasks", orders)
            yield lab
        finally:
            shutil.rmtree(root / "task-forms", ignore_errors=True)


def run(orders: Orders, timed: int, repeat: int, *, with_peer: bool) -> None:
    """Measure and keep; the first `timed` work orders are asked against the clock."""
    begun = time.monotonic()
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    steady, commands = 0.0, {}
    mine = {name: of_task(name) for name in FORMS}
    with laboratory(orders) as lab:
        for number in range(repeat):
            with servers.ours(lab) as server:
                commands["ours"] = server.command
                ours.append(asyncio.run(speeds(server, mine, orders.asked[:timed])))
                say(f"  ours {number + 1}: {_told(ours[-1])}")
                if number == 0:
                    steady = asyncio.run(unchanged(server, orders.asked))
            if with_peer:
                with servers.peer(peer.chosen(), models.gguf(_MODEL)) as server:
                    commands["peer"] = server.command
                    bodies = {form: of_peer(orders, form) for form in ("labels", "spelled", "json")}
                    theirs.append(asyncio.run(speeds(server, bodies, orders.asked[:timed])))
                    say(f"  peer {number + 1}: {_told(theirs[-1])}")
    figures = [
        Figure(f"labels unchanged beside {AT_ONCE} clients", "", _one(steady), None, None,
               "≥", STEADY),
        *(Figure(f"{name}, documents/s", "documents/s", Summary.of([run[name] for run in ours]))
          for name in mine),
        *_against(ours, theirs),
    ]  # fmt: skip
    keep(
        "task_forms",
        _MODEL,
        f"a task's forms on {timed} work orders, {AT_ONCE} at once",
        figures,
        time.monotonic() - begun,
        repeat,
        commands=commands,
        runs=[{"ours": a} for a in ours] + [{"peer": b} for b in theirs],
        notes=[f"steadiness over {len(orders.asked)} work orders; {len(orders.labels)} labels, "
               f"{len(_FIELDS)} fields; the peer writes with a GBNF of the same answers"],
    )  # fmt: skip


def steadiness(orders: Orders) -> float:
    """Only the share of labels that stay the same."""
    with laboratory(orders) as lab, servers.ours(lab) as server:
        return asyncio.run(unchanged(server, orders.asked))


def _against(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[Figure]:
    others = {"labels": "labels", "spelled": "spelled", "json": "json", "values": "json"}
    pairs = others if theirs else {}
    return [
        Figure(
            f"{form} / the peer's {other} with a grammar",
            "documents/s",
            Summary.of(ratios([run[form] for run in ours], [run[other] for run in theirs])),
            Summary.of([run[form] for run in ours]),
            Summary.of([run[other] for run in theirs]),
        )
        for form, other in pairs.items()
    ]


def _one(value: float) -> Summary:
    return Summary.of([value])


def _told(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}/s" for name, value in found.items())


def main() -> int:
    """Run it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_forms")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--timed", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--steadiness", action="store_true", help="print it, and keep nothing")
    asked = parser.parse_args()
    if asked.steadiness:
        share = steadiness(Orders(asked.items))
        say(f"unchanged: {share:.4f} of {asked.items}")
        return 0 if share >= STEADY else 1
    run(Orders(asked.items), asked.timed, asked.repeat, with_peer=not asked.without_peer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
