"""A load of every kind of request on the LAN listener, good and bad, by several apps.

Rules: every answer is checked and counted under its kind and status; a wrong one is `Unexplained`.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.contract.conftest import EMBEDDER, Live

AT_ONCE: Final = 24
WIDTH: Final = 384
SHARED: Final = "The pump is inspected every week. "
WORD: Final = "Cormorant"
"""In every text that a client sends: it must be nowhere in the clear afterwards."""

RPM, TPM = 2, 16
QUOTAS: Final = ("many requests", "many tokens")
LINES: Final = 3
"""Of each batch."""
HELD_BACK: Final = "priority batch"
"""In place of the kind where times are told: other work goes first."""
_GONE: Final = "response_not_found"
APPS: Final[dict[str, tuple[str, ...]]] = {
    "one": (),
    "batch": ("--priority", "batch"),
    "serial": ("--concurrency", "1"),
    "few requests": ("--rpm", str(RPM)),
    "few tokens": ("--tpm", str(TPM)),
    "one model": ("--models", EMBEDDER),
    "revoked": (),
}
KINDS: Final = {
    "chat": 10, "stream": 11, "completion": 7, "response": 5, "schema": 5, "tool": 4,
    "embedding": 10, "tokens": 3, "receipt": 2, "leave": 7, "refused": 8, "many requests": 4,
    "many tokens": 3, "other model": 2, "bad key": 4, "not HTTP": 2, "not JSON": 2, "poll": 1,
    "message": 2, "state": 2, "conversation": 2, "file": 1, "batch": 1, "mcp": 2,
}  # fmt: skip
DECK: Final = [kind for kind, number in KINDS.items() for _ in range(number)]
random.Random(1).shuffle(DECK)

STATE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"dry": {"type": "boolean"}},
    "required": ["dry"],
    "additionalProperties": False,
}
TOOL: Final = {"type": "function", "function": {"name": "tell", "parameters": STATE}}
REFUSED: Final[list[tuple[dict[str, Any], int, str]]] = [
    ({"model": "nothing"}, 404, "model_not_found"),
    ({"temperature": 9}, 400, "invalid_value"),
    ({"functions": [{"name": "f"}]}, 400, "unsupported_parameter"),
    ({"guided_regex": "("}, 400, "invalid_schema"),
    (
        {"messages": [{"role": "user", "content": f"{WORD} x" * 1500}]},
        400,
        "context_length_exceeded",
    ),
]


class Unexplained(AssertionError):
    pass


def expect(reply: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    document: dict[str, Any] = reply.json()
    found = (document.get("error") or {}).get("code", "")
    if (reply.status_code, found) != (status, code):
        raise Unexplained(f"{reply.status_code} in place of {status} {code}: {reply.text[:2000]}")
    return document


def dry(text: str) -> bool:
    document = json.loads(text)
    return set(document) == {"dry"} and isinstance(document["dry"], bool)


@dataclass
class Load:
    """The load on one server, and its results.

    Attributes:
        seen: requests by kind and result: a status, or `left`.
        closed: requests that were sent again, since a kept connection had been closed meanwhile.
        times: milliseconds of the requests of each kind, in order.
        passed: requests and tokens that passed the quota of each.
    """

    server: Live
    secrets: dict[str, str]
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: int = 0
    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    passed: Counter[str] = field(default_factory=Counter)
    begun: float = field(default_factory=time.monotonic)
    answered: deque[str] = field(default_factory=lambda: deque(maxlen=64))
    batches: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, server: Live) -> "Load":
        made = {
            name: server.run("key", "create", name, *limits, "--json").document
            for name, limits in APPS.items()
        }
        server.run("key", "revoke", made["revoked"]["id"])
        return cls(server, {name: key["secret"] for name, key in made.items()})

    async def run(self, numbers: Iterable[int]) -> None:
        left = iter(numbers)
        # Idle connections are given up here before the server closes them.
        limits = httpx.Limits(max_connections=2 * AT_ONCE, keepalive_expiry=2)
        async with httpx.AsyncClient(
            base_url=self.server.base_url, timeout=None, limits=limits
        ) as client:

            async def worker() -> None:
                for number in left:
                    await self.one(client, number)

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def crowd(self) -> None:
        asked = {"model": EMBEDDER, "input": [Body("", number).longest for number in range(3)]}
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(
            base_url=self.server.base_url, timeout=None, limits=limits, headers=self.key("one")
        ) as client:
            replies = await asyncio.gather(
                *(client.post("/embeddings", json=asked) for _ in range(2 * AT_ONCE))
            )
        for reply in replies:
            expect(reply, 200)

    async def one(self, client: httpx.AsyncClient, number: int) -> None:
        """One request, sent again when its kept connection had been closed meanwhile."""
        kind = DECK[number % len(DECK)]
        ask: Callable[..., Awaitable[str]] = getattr(self, f"_{kind.replace(' ', '_').lower()}")
        begun, body = time.perf_counter(), Body(self.server.model, number)
        try:
            became = await ask(client, body)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            self.closed += 1
            became = await ask(client, Body(self.server.model, number))
        self.seen[kind, became] += 1
        took = 1000 * (time.perf_counter() - begun)
        if body.held_back and kind != "leave":
            kind = HELD_BACK
        elif kind in QUOTAS and became == "200":
            kind = "completion"  # the quota let it pass
        self.times[kind].append(took)

    def key(self, app: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secrets[app]}"}

    def anybody(self, body: "Body") -> dict[str, str]:
        app = body.choose.choice(["one"] * 4 + ["batch"] * 3 + ["serial"])
        body.held_back = app == "batch"
        return self.key(app)

    async def _chat(self, client: httpx.AsyncClient, body: "Body") -> str:
        reply = await client.post("/chat/completions", json=body.chat(), headers=self.anybody(body))
        usage = expect(reply, 200)["usage"]
        if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
            raise Unexplained(usage)
        if reply.headers["x-appliance-receipt"].count(" ") != 2:
            raise Unexplained(reply.headers)
        return "200"

    async def _stream(self, client: httpx.AsyncClient, body: "Body") -> str:
        asked = body.chat(stream=True, stream_options={"include_usage": True})
        key = self.anybody(body)
        async with client.stream("POST", "/chat/completions", json=asked, headers=key) as reply:
            text = (await reply.aread()).decode()
        lines = [line for line in text.split("\n\n") if line]
        chunks = [json.loads(line[6:]) for line in lines[:-1] if line.startswith("data: ")]
        ends = [c["finish_reason"] for k in chunks for c in k.get("choices", ())]
        whole = lines[-1] == "data: [DONE]" and lines[-2].startswith(": receipt ")
        if not whole or len([end for end in ends if end]) != 1 or not chunks[-1]["usage"]:
            raise Unexplained(text[-2000:])
        return str(reply.status_code)

    async def _completion(self, client: httpx.AsyncClient, body: "Body") -> str:
        asked = body.completion(n=body.choose.choice([1, 1, 2]))
        reply = await client.post("/completions", json=asked, headers=self.anybody(body))
        if len(expect(reply, 200)["choices"]) != asked["n"]:
            raise Unexplained(reply.text)
        return "200"

    async def _response(self, client: httpx.AsyncClient, body: "Body") -> str:
        streamed = body.choose.random() < 0.5
        asked = {
            "model": body.model, "input": body.text, "max_output_tokens": 2, "stream": streamed,
        }  # fmt: skip
        reply = await client.post("/responses", json=asked, headers=self.anybody(body))
        ends = {"completed", "incomplete"}
        if streamed:
            kinds = [x[7:] for x in reply.text.splitlines() if x.startswith("event: ")]
            if not kinds or kinds[-1] not in {f"response.{end}" for end in ends}:
                raise Unexplained(reply.text[-2000:])
        elif expect(reply, 200)["status"] not in ends:
            raise Unexplained(reply.text)
        return str(reply.status_code)

    async def _schema(self, client: httpx.AsyncClient, body: "Body") -> str:
        asked = body.chat(guided_json=STATE, max_tokens=60)
        reply = await client.post("/chat/completions", json=asked, headers=self.key("one"))
        (choice,) = expect(reply, 200)["choices"]
        if choice["finish_reason"] != "stop" or not dry(choice["message"]["content"]):
            raise Unexplained(choice)
        return "200"

    async def _tool(self, client: httpx.AsyncClient, body: "Body") -> str:
        demanded = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
        asked = body.chat(**demanded, max_tokens=60)
        reply = await client.post("/chat/completions", json=asked, headers=self.key("one"))
        (choice,) = expect(reply, 200)["choices"]
        (call,) = choice["message"]["tool_calls"]
        if call["function"]["name"] != "tell" or not dry(call["function"]["arguments"]):
            raise Unexplained(choice)
        return "200"

    async def _embedding(self, client: httpx.AsyncClient, body: "Body") -> str:
        texts = [body.text] * body.choose.choice([1, 3])
        key = self.key(body.choose.choice(["one", "one model"]))
        asked = {"model": EMBEDDER, "input": texts}
        reply = await client.post("/embeddings", json=asked, headers=key)
        if [len(row["embedding"]) for row in expect(reply, 200)["data"]] != [WIDTH] * len(texts):
            raise Unexplained(reply.text)
        return "200"

    async def _tokens(self, client: httpx.AsyncClient, body: "Body") -> str:
        root = self.server.base_url.removesuffix("/v1")
        asked = {"model": body.model, "prompt": body.text}
        reply = await client.post(f"{root}/tokenize", json=asked, headers=self.key("one"))
        if not expect(reply, 200)["count"]:
            raise Unexplained(reply.text)
        return "200"

    async def _receipt(self, client: httpx.AsyncClient, body: "Body") -> str:
        key, asked = self.key("one"), body.completion(max_tokens=1)
        answer = await client.post("/completions", json=asked, headers=key)
        expect(answer, 200)
        reply = await client.get(f"/receipts/{answer.headers['x-request-id']}", headers=key)
        if not expect(reply, 200)["outcome"]:
            raise Unexplained(reply.text)
        return "200"

    async def _leave(self, client: httpx.AsyncClient, body: "Body") -> str:
        asked = body.chat(stream=body.choose.random() < 0.7, max_tokens=200, ignore_eos=True)
        key = self.anybody(body)
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(body.choose.choice([0.01, 0.05, 0.2])),
                client.stream("POST", "/chat/completions", json=asked, headers=key) as reply,
            ):
                if reply.status_code != 200:
                    raise Unexplained(reply.status_code)
                async for _ in reply.aiter_raw():
                    if body.choose.random() < 0.2:
                        break  # it has read enough
        return "left"

    async def _refused(self, client: httpx.AsyncClient, body: "Body") -> str:
        fields, status, code = body.choose.choice(REFUSED)
        asked = body.chat(**fields)
        reply = await client.post("/chat/completions", json=asked, headers=self.key("one"))
        expect(reply, status, code)
        return str(status)

    async def _many_requests(self, client: httpx.AsyncClient, body: "Body") -> str:
        return await self._limited(client, "few requests", body.completion(max_tokens=1))

    async def _many_tokens(self, client: httpx.AsyncClient, body: "Body") -> str:
        return await self._limited(client, "few tokens", body.completion(max_tokens=8))

    async def _limited(self, client: httpx.AsyncClient, app: str, asked: dict[str, Any]) -> str:
        reply = await client.post("/completions", json=asked, headers=self.key(app))
        if reply.status_code == 200:
            self.passed[f"{app}: requests"] += 1
            self.passed[f"{app}: tokens"] += reply.json()["usage"]["total_tokens"]
            return "200"
        expect(reply, 429, "rate_limit_exceeded")
        if int(reply.headers["retry-after"]) < 1:
            raise Unexplained(reply.headers)
        return "429"

    async def _other_model(self, client: httpx.AsyncClient, body: "Body") -> str:
        key = self.key("one model")
        reply = await client.post("/chat/completions", json=body.chat(), headers=key)
        expect(reply, 404, "model_not_found")
        return "404"

    async def _bad_key(self, client: httpx.AsyncClient, body: "Body") -> str:
        made_up = {"authorization": f"Bearer sk-{body.choose.random()}"}
        wrong = body.choose.choice([made_up, self.key("revoked"), {}])
        path = body.choose.choice(["/chat/completions", "/responses", "/embeddings"])
        reply = await client.post(path, json=body.chat(), headers=wrong)
        expect(reply, 401, "invalid_api_key")
        return "401"

    async def _not_http(self, client: httpx.AsyncClient, body: "Body") -> str:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        wrong = [b"\x16\x03\x01\x00", b"GET / HTTP/9\r\n\r\n", b"{}\r\n\r\n"]
        writer.write(body.choose.choice(wrong))
        answer = await reader.read()
        writer.close()
        if not answer.startswith(b"HTTP/1.1 400 ") or b'"malformed_http"' not in answer:
            raise Unexplained(answer)
        return "400"

    async def _not_json(self, client: httpx.AsyncClient, body: "Body") -> str:
        wrong = body.choose.choice([b"{", b"\xff", b"[1]", b"[" * 5000])
        header = {"content-type": "application/json", **self.key("one")}
        reply = await client.post("/chat/completions", content=wrong, headers=header)
        expect(reply, 400, "invalid_json")
        return "400"

    async def _message(self, client: httpx.AsyncClient, body: "Body") -> str:
        reply = await client.post("/messages", json=body.chat(), headers=self.anybody(body))
        if expect(reply, 200)["type"] != "message":
            raise Unexplained(reply.text)
        return "200"

    async def _state(self, client: httpx.AsyncClient, body: "Body") -> str:
        key, asked = self.key("one"), {"input": body.text, "max_output_tokens": 1}
        first = await client.post("/responses", json={"model": body.model, **asked}, headers=key)
        name = expect(first, 200)["id"]
        more = {"model": body.model, **asked, "previous_response_id": name}
        second = expect(await client.post("/responses", json=more, headers=key), 200)["id"]
        expect(await client.get(f"/responses/{second}", headers=key), 200)
        expect(await client.get(f"/responses/{second}", headers=self.key("batch")), 404, _GONE)
        for one in (name, second):
            expect(await client.delete(f"/responses/{one}", headers=key), 200)
            expect(await client.get(f"/responses/{one}", headers=key), 404, _GONE)
        return "200"

    async def _conversation(self, client: httpx.AsyncClient, body: "Body") -> str:
        key, item = self.key("one"), {"role": "user", "content": body.text}
        reply = await client.post("/conversations", json={"items": [item]}, headers=key)
        name = expect(reply, 200)["id"]
        asked = {"model": body.model, "input": body.text, "max_output_tokens": 1}
        asked["conversation"] = name
        expect(await client.post("/responses", json=asked, headers=key), 200)
        reply = await client.get(f"/conversations/{name}/items", headers=key)
        if len(expect(reply, 200)["data"]) != 3:
            raise Unexplained(reply.text)
        expect(await client.delete(f"/conversations/{name}", headers=key), 200)
        return "200"

    async def _file(self, client: httpx.AsyncClient, body: "Body") -> str:
        key, text = self.key("one"), f'{{"text": "{body.text}"}}\n'.encode() * 100
        name = await self._sent(client, key, text)
        reply = await client.get(f"/files/{name}/content", headers=key)
        if reply.content != text:
            raise Unexplained(reply.text[:2000])
        expect(await client.delete(f"/files/{name}", headers=key), 200)
        return "200"

    async def _batch(self, client: httpx.AsyncClient, body: "Body") -> str:
        key, url = self.key("batch"), "/v1/chat/completions"
        lines = [
            {"custom_id": str(n), "method": "POST", "url": url, "body": body.chat(max_tokens=1)}
            for n in range(LINES)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        asked = {
            "input_file_id": await self._sent(client, key, text), "endpoint": url,
            "completion_window": "24h",
        }  # fmt: skip
        reply = await client.post("/batches", json=asked, headers=key)
        if reply.status_code == 429:
            expect(reply, 429, "too_many_batches")
            return "429"
        self.batches.append(expect(reply, 200)["id"])
        return "200"

    async def _sent(self, client: httpx.AsyncClient, key: dict[str, str], text: bytes) -> str:
        purpose = {"purpose": "batch"}
        reply = await client.post("/files", headers=key, data=purpose, files={"file": text})
        return str(expect(reply, 200)["id"])

    async def batched(self) -> None:
        key = self.key("batch")
        async with httpx.AsyncClient(base_url=self.server.base_url, timeout=60) as client:
            for name in self.batches:
                while True:
                    batch = expect(await client.get(f"/batches/{name}", headers=key), 200)
                    if batch["status"] not in ("validating", "in_progress", "finalizing"):
                        break
                    await asyncio.sleep(0.2)
                reply = await client.get(f"/files/{batch['output_file_id']}/content", headers=key)
                ids = [json.loads(line)["custom_id"] for line in reply.text.splitlines()]
                if batch["status"] != "completed" or ids != [str(n) for n in range(LINES)]:
                    raise Unexplained(batch)

    async def _mcp(self, client: httpx.AsyncClient, body: "Body") -> str:
        url = self.server.base_url.removesuffix("/v1") + "/mcp"
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
        call = {"name": "check_receipt", "arguments": {"request_id": "req-0"}}
        for method, params in (
            ("initialize", hello), ("tools/list", {}), ("tools/call", call), ("nothing", {}),
        ):  # fmt: skip
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            reply = await client.post(url, json=asked, headers=self.key("one"))
            told = reply.json()
            if reply.status_code != 200 or ("error" in told) != (method == "nothing"):
                raise Unexplained(reply.text)
        return "200"

    async def _poll(self, client: httpx.AsyncClient, _: "Body") -> str:
        reply = await client.get("/models", headers=self.key("one"))
        if len(expect(reply, 200)["data"]) != 2:
            raise Unexplained(reply.text)
        return "200"


class Body:
    def __init__(self, model: str, number: int) -> None:
        self.model = model
        self.held_back = False  # its app has the priority of batches
        self.choose = random.Random(number)
        shared = SHARED * self.choose.choice([0, 0, 4])
        self.text = f"{shared}{WORD} {number}"
        self.longest = f"{SHARED * 4}{WORD} {number}"

    def chat(self, **fields: Any) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": self.text}],
            "max_tokens": self.choose.choice([1, 1, 3]),
            "temperature": self.choose.choice([0, 0.8]),
            **fields,
        }

    def completion(self, **fields: Any) -> dict[str, Any]:
        return {"model": self.model, "prompt": WORD, "max_tokens": 2, **fields}
