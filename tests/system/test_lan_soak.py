"""A long load of every kind of request, good and bad, leaves the server as it was.

Every answer is checked for what it is and counted under a name; one that has no name is an error
that nobody can explain. `SOAK_REQUESTS` sets the length of the long version. The load may be
stopped and continued (SIGSTOP): no time of a client or of the server's listener runs out then.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.conftest import EMBEDDER, Live, live
from tests.system.test_soak import SCHEMA, descriptors, resident_kib

CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 2048
slots = 8
"""
PATIENT = "head_seconds = 3600\nbody_seconds = 3600\nstall_seconds = 3600\n"
AT_ONCE = 24
WIDTH = 384
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no such model": ({"model": "nothing"}, 404, "model_not_found"),
    "out of range": ({"temperature": 9}, 400, "invalid_value"),
    "not done here": ({"functions": [{"name": "f"}]}, 400, "unsupported_parameter"),
    "a schema that cannot be kept": ({"guided_regex": "("}, 400, "invalid_schema"),
    "too long": (
        {"messages": [{"role": "user", "content": "x " * 4000}]}, 400, "context_length_exceeded",
    ),
}  # fmt: skip
KINDS = {
    "chat": 12, "stream": 14, "completion": 8, "schema": 6, "tool": 6, "embedding": 14, "leave": 8,
    "refused": 14, "bad key": 10, "not HTTP": 3, "not JSON": 3, "poll": 2,
}  # fmt: skip


class Unexplained(AssertionError):
    """An answer that is not what was asked for."""


@dataclass
class Load:
    """What is asked of one server, and what became of it."""

    server: Live
    seed: int
    seen: Counter[str] = field(default_factory=Counter)

    async def run(self, count: int) -> None:
        """So many requests, `AT_ONCE` at a time."""
        numbers = iter(range(count))
        key = {"authorization": f"Bearer {self.server.api_key}"}
        async with httpx.AsyncClient(
            base_url=self.server.base_url, headers=key, timeout=None,
            limits=httpx.Limits(max_connections=2 * AT_ONCE),
        ) as client:  # fmt: skip

            async def worker() -> None:
                for number in numbers:
                    await self.one(client, random.Random(f"{self.seed} {number}"))

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def one(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        """One request; it is sent again when its kept connection had been closed meanwhile."""
        (kind,) = choose.choices(list(KINDS), list(KINDS.values()))
        ask: Callable[..., Awaitable[None]] = getattr(self, f"_{kind.replace(' ', '_').lower()}")
        state = choose.getstate()
        try:
            await ask(client, choose)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            self.seen["connection closed"] += 1
            choose.setstate(state)
            await ask(client, choose)
        self.seen[kind] += 1

    def body(self, choose: random.Random, **fields: Any) -> dict[str, Any]:
        shared = "The pump is inspected every week. " * choose.choice([0, 0, 4])
        return {
            "model": self.server.model,
            "messages": [{"role": "user", "content": f"{shared}Report {choose.random()}"}],
            "max_tokens": choose.choice([1, 2, 4]),
            "temperature": choose.choice([0, 0.8]),
            **fields,
        }

    async def _chat(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        reply = await client.post("/chat/completions", json=self.body(choose))
        answer = expect(reply, 200)
        usage = answer["usage"]
        if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
            raise Unexplained(answer)
        if reply.headers["x-appliance-receipt"].count(" ") != 2:
            raise Unexplained(reply.headers)

    async def _completion(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        body = self.body(choose, prompt="The pump", n=choose.choice([1, 1, 2]))
        del body["messages"]
        answer = expect(await client.post("/completions", json=body), 200)
        if len(answer["choices"]) != body["n"]:
            raise Unexplained(answer)

    async def _stream(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        body = self.body(choose, stream=True, stream_options={"include_usage": True})
        async with client.stream("POST", "/chat/completions", json=body) as reply:
            text = (await reply.aread()).decode()
        lines = [line for line in text.split("\n\n") if line]
        chunks = [json.loads(line[6:]) for line in lines[:-1] if line.startswith("data: ")]
        ends = [c["finish_reason"] for k in chunks for c in k.get("choices", ())]
        whole = lines[-1] == "data: [DONE]" and lines[-2].startswith(": receipt ")
        if not whole or len([end for end in ends if end]) != 1 or not chunks[-1]["usage"]:
            raise Unexplained(text[-2000:])

    async def _schema(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        body = self.body(choose, guided_json=SCHEMA, max_tokens=60)
        (choice,) = expect(await client.post("/chat/completions", json=body), 200)["choices"]
        if choice["finish_reason"] != "stop" or set(json.loads(choice["message"]["content"])) != {
            "ok", "state",
        }:  # fmt: skip
            raise Unexplained(choice)

    async def _tool(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        asked = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
        body = self.body(choose, **asked, max_tokens=60)
        (choice,) = expect(await client.post("/chat/completions", json=body), 200)["choices"]
        (call,) = choice["message"]["tool_calls"]
        if json.loads(call["function"]["arguments"])["city"] not in ("Oslo", "Rome"):
            raise Unexplained(choice)

    async def _embedding(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        texts = [f"Text {choose.random()}"] * choose.choice([1, 3])
        reply = await client.post("/embeddings", json={"model": EMBEDDER, "input": texts})
        if [len(row["embedding"]) for row in expect(reply, 200)["data"]] != [WIDTH] * len(texts):
            raise Unexplained(reply.text)

    async def _leave(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        body = self.body(choose, stream=choose.random() < 0.7, max_tokens=200, ignore_eos=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(choose.choice([0.01, 0.1, 0.5])):
                async with client.stream("POST", "/chat/completions", json=body) as reply:
                    async for _ in reply.aiter_raw():
                        if choose.random() < 0.2:
                            raise TimeoutError  # it has read enough
                    raise TimeoutError  # it was quicker

    async def _refused(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        fields, status, code = REFUSED[choose.choice(list(REFUSED))]
        body = self.body(choose, **fields)
        expect(await client.post("/chat/completions", json=body), status, code)

    async def _bad_key(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        wrong = {"authorization": f"Bearer sk-{choose.random()}"}
        path = choose.choice(["/chat/completions", "/models", "/embeddings"])
        reply = await client.post(path, json=self.body(choose), headers=wrong)
        expect(reply, 401, "invalid_api_key")

    async def _not_http(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(choose.choice([b"\x16\x03\x01\x00", b"GET / HTTP/9\r\n\r\n", b"{}\r\n\r\n"]))
        answer = await reader.read()
        writer.close()
        if b'"malformed_http"' not in answer:
            raise Unexplained(answer)

    async def _not_json(self, client: httpx.AsyncClient, choose: random.Random) -> None:
        body = choose.choice([b"{", b"\xff", b"[1]", b"[" * 5000])
        kind = {"content-type": "application/json"}
        reply = await client.post("/chat/completions", content=body, headers=kind)
        expect(reply, 400, "invalid_json")

    async def _poll(self, client: httpx.AsyncClient, _: random.Random) -> None:
        if len(expect(await client.get("/models"), 200)["data"]) != 2:
            raise Unexplained


def expect(reply: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    """The document of an answer that has this status and, if it is an error, this code."""
    document: dict[str, Any] = reply.json()
    found = document.get("error", {}).get("code", "")
    if (reply.status_code, found) != (status, code):
        raise Unexplained(f"{reply.status_code} in place of {status} {code}: {reply.text[:2000]}")
    return document


@dataclass(frozen=True)
class Size:
    """What a server takes when nothing runs."""

    kib: dict[str, int]
    descriptors: int


async def rest(server: Live) -> Size:
    """Wait until nothing runs and every connection is closed; what it takes then."""
    while True:
        status = await asyncio.to_thread(lambda: server.run("status", "--json").document)
        workers = {w["model"]: w for w in status["workers"]}
        if not any(w["running"] or w["queued"] or w["kv_used"] for w in workers.values()):
            break
    before = -1
    while (now := descriptors(server.process.pid)) != before:  # connections are being closed
        before = now
        await asyncio.sleep(0.5)
    kib = {model: resident_kib(w["pid"]) for model, w in workers.items()}
    return Size({"server": resident_kib(server.process.pid), **kib}, now)


def check(directory: Path, models: dict[str, Path], count: int, rounds: int) -> None:
    """Warm up, then the load in rounds; sizes are compared from the first round on."""
    with live(directory, models["smol"], CONFIG, {EMBEDDER: models[EMBEDDER]}, PATIENT) as server:
        load = Load(server, 0)
        asyncio.run(load.run(max(60, count // 20)))
        load.seen.clear()
        sizes = []
        for number in range(rounds):
            load.seed = number + 1
            asyncio.run(load.run(count // rounds))
            sizes.append(asyncio.run(rest(server)))
            progress(f"{sum(load.seen.values())} {sizes[-1]}")
        closed = load.seen.pop("connection closed", 0)
        assert sum(load.seen.values()) == count // rounds * rounds
        assert set(load.seen) == set(KINDS)
        assert closed <= count / 100, closed
        first, last = sizes[0], sizes[-1]
        for name, kib in last.kib.items():
            assert kib <= first.kib[name] * 1.05 + 4096, (name, sizes)
        assert last.descriptors <= first.descriptors, sizes
        report = server.run("audit", "verify", "--json").document
        assert report["ok"], report["problems"]


def progress(text: str) -> None:
    """For whoever watches the long version."""
    if path := os.environ.get("SOAK_PROGRESS"):
        with Path(path).open("a") as file:
            file.write(text + "\n")


@pytest.fixture(scope="module")
def models(default_model_path: Path, embedder_path: Path) -> dict[str, Path]:
    return {"smol": default_model_path, EMBEDDER: embedder_path}


def test_a_short_load_of_everything_leaves_nothing_behind(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    check(tmp_path, models, 150, 3)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_twenty_thousand_requests_leave_nothing_behind(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    check(tmp_path, models, int(os.environ.get("SOAK_REQUESTS", "20000")), 10)


async def test_an_answer_that_is_not_the_expected_one_is_noticed() -> None:
    """The control."""
    reply = httpx.Response(503, json={"error": {"code": "worker_lost"}})
    with pytest.raises(Unexplained):
        expect(reply, 200)
    with pytest.raises(Unexplained):
        expect(httpx.Response(200, json={}), 401, "invalid_api_key")
