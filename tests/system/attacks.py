"""Requests of apps that send what costs most: one kind for each part of the API.

Rules: an attack yields after each of its rounds and, closed, removes what would go on working. Its
`reached` says by which statuses one knows that it met what it attacks, and no gate before that.
"""

import contextlib
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httpx

from tests.smol import ID

_USER: Final = {"role": "user", "content": "x"}
_PATTERNS: Final = [{"type": "string", "pattern": f"a.{{{n}}}b"} for n in range(40)]
CHAT, COMPLETIONS, TOKENIZE = "/v1/chat/completions", "/v1/completions", "/tokenize"
MESSAGES, RESPONSES, FILES, BATCHES = "/v1/messages", "/v1/responses", "/v1/files", "/v1/batches"
CONVERSATIONS, SESSIONS, MCP = "/v1/conversations", "/v1/sessions", "/mcp"
_RPC: Final = {"jsonrpc": "2.0", "id": 1}
CLOSED: Final = 0
"""In place of a status: the connection was closed before the answer."""
_HELD: Final = 8
"""Streams and batches that one attacker has at a time."""


@dataclass
class Attacker:
    """One app, whose statuses are counted under its kind."""

    client: httpx.Client
    kind: str
    seen: Counter[tuple[str, int]]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            reply = self.client.request(method, path, **request)
        except httpx.TransportError:  # refused before its body was sent, or a kept one was closed
            reply = httpx.Response(CLOSED)
        self.seen[self.kind, reply.status_code] += 1
        return reply

    def make(self, path: str, **body: Any) -> str | None:
        """The id of what was made; None where that is refused."""
        reply = self.send("POST", path, json=body)
        return str(reply.json()["id"]) if reply.status_code == 200 else None

    def upload(self, text: bytes) -> str | None:
        """The id of the file; None where it is refused."""
        form = {"purpose": "batch"}
        reply = self.send("POST", FILES, data=form, files={"file": text})
        return str(reply.json()["id"]) if reply.status_code == 200 else None

    def remove_files(self) -> None:
        reply = self.send("GET", FILES)
        for file in reply.json()["data"] if reply.status_code == 200 else ():
            self.send("DELETE", f"{FILES}/{file['id']}")


Rounds: TypeAlias = Generator[None]


@dataclass(frozen=True)
class Attack:
    """A kind: its rounds, and statuses of which it gets one at least."""

    rounds: Callable[[Attacker], Rounds]
    reached: Collection[int]


def _posted(path: str, body: dict[str, Any], *reached: int) -> Attack:
    data, kind = json.dumps(body).encode(), {"content-type": "application/json"}

    def rounds(attacker: Attacker) -> Rounds:
        while True:
            attacker.send("POST", path, content=data, headers=kind)
            yield

    return Attack(rounds, reached)


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": ID, "messages": [_USER], "max_tokens": 1, **fields}


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return asked(response_format=form)


def _call(arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "a", "type": "function", "function": function}]
    return asked(messages=[_USER, {"role": "assistant", "tool_calls": calls}])


def _deep(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def _used(deep: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"a": deep}}
    return asked(messages=[_USER, {"role": "assistant", "content": [use]}, _USER])


def _long_lines(attacker: Attacker) -> Rounds:
    while True:
        attacker.upload(b"x" * (5 << 20))
        if name := attacker.upload(3 * (b"x" * 4_000_000 + b"\n")):
            attacker.send("GET", f"{FILES}/{name}/content")
        attacker.remove_files()
        yield


def _small_files(attacker: Attacker) -> Rounds:
    while True:
        made = [attacker.upload(b"{}\n") for _ in range(10)]
        attacker.send("GET", FILES)
        if None in made:
            attacker.remove_files()
        yield


def _longest_batches(attacker: Attacker) -> Rounds:
    body = {"model": ID, "prompt": " word" * 1900, "max_tokens": 64}
    line = {"method": "POST", "url": COMPLETIONS, "body": body}
    text = b"".join(json.dumps({"custom_id": str(n), **line}).encode() + b"\n" for n in range(50))
    begun: deque[str] = deque()
    with contextlib.ExitStack() as ends:
        ends.callback(_cancel, attacker, BATCHES, begun)
        while True:
            if file := attacker.upload(text):
                wanted = {"endpoint": COMPLETIONS, "completion_window": "24h"}
                made = attacker.make(BATCHES, input_file_id=file, **wanted)
                begun += [made] if made else []
            else:
                attacker.remove_files()
            attacker.send("GET", BATCHES)
            if len(begun) > _HELD:
                _cancel(attacker, BATCHES, begun)
            yield


def _cancel(attacker: Attacker, path: str, begun: deque[str]) -> None:
    while begun:
        attacker.send("POST", f"{path}/{begun.popleft()}/cancel", json={})


def _initialisations(attacker: Attacker) -> Rounds:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {"x" * 50_000: _deep(50)}}
    while True:
        for _ in range(20):
            attacker.send("POST", MCP, json=_RPC | {"method": "initialize", "params": hello})
        yield


def _chain(attacker: Attacker) -> Rounds:
    before: dict[str, str] = {}
    while True:
        text = "The pump is inspected every week. " * 20
        made = attacker.make(RESPONSES, model=ID, input=text, max_output_tokens=1, **before)
        if made:
            before = {"previous_response_id": made}
            attacker.send("GET", f"{RESPONSES}/{made}/input_items")
        else:  # it does not fit any more
            before = {}
        yield


def _background(attacker: Attacker) -> Rounds:
    wanted = {"model": ID, "input": "Count.", "max_output_tokens": 1500, "background": True}
    begun: deque[str] = deque()
    with contextlib.ExitStack() as ends:
        ends.callback(_cancel, attacker, RESPONSES, begun)
        while True:
            begun += [made for _ in range(_HELD) if (made := attacker.make(RESPONSES, **wanted))]
            _cancel(attacker, RESPONSES, begun)
            yield


def _full_conversation(attacker: Attacker) -> Rounds:
    items = [{"role": "user", "content": "x" * 100_000}] * 20
    while True:
        name = attacker.make(CONVERSATIONS, items=items)
        for _ in range(3):  # the last one is refused
            attacker.send("POST", f"{CONVERSATIONS}/{name}/items", json={"items": items})
            attacker.send("GET", f"{CONVERSATIONS}/{name}/items")
        attacker.send("DELETE", f"{CONVERSATIONS}/{name}")
        yield


def _sessions(attacker: Attacker) -> Rounds:
    while True:
        for _ in range(5):
            reply = attacker.send("POST", SESSIONS, json={})
            if reply.status_code == 200:
                attacker.send("GET", "/v1/requests", headers=_bearer(reply.json()["token"]))
        attacker.send("GET", "/people")
        attacker.send("GET", "/people/page.js")
        if next(attacker.numbers) % 10 == 0:
            attacker.send("DELETE", SESSIONS)
        yield


def _wrong_sessions(attacker: Attacker) -> Rounds:
    while True:
        for number in itertools.islice(attacker.numbers, 20):
            attacker.send("GET", "/v1/requests", headers=_bearer(f"ses-{number:043}"))
        yield


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _one_name(attacker: Attacker) -> Rounds:
    name = {"idempotency-key": "one"}
    while True:
        for number in itertools.islice(attacker.numbers, 5):
            body = {"model": ID, "prompt": "x", "max_tokens": 1, "user": "x" * number}
            attacker.send("POST", COMPLETIONS, json=body, headers=name)
        body = {"model": ID, "prompt": "x" * 3_000_000, "max_tokens": 1}
        attacker.send("POST", COMPLETIONS, json=body, headers=name)
        yield


def _ever_other_names(attacker: Attacker) -> Rounds:
    body = {"model": ID, "prompt": "x", "max_tokens": 1}
    while True:
        name = {"idempotency-key": f"{next(attacker.numbers):0250}"}
        attacker.send("POST", COMPLETIONS, json=body, headers=name)
        attacker.send("POST", COMPLETIONS, json=body, headers=name)
        yield


def _held_streams(attacker: Attacker) -> Rounds:
    body = asked(stream=True, max_tokens=400, ignore_eos=True)
    while True:
        with contextlib.ExitStack() as held:
            for _ in range(_HELD):
                stream = attacker.client.stream("POST", CHAT, json=body)
                status = CLOSED
                with contextlib.suppress(httpx.TransportError):
                    status = held.enter_context(stream).status_code
                attacker.seen[attacker.kind, status] += 1
                yield


_CALLED: Final = _RPC | {"method": "tools/call"}
_TOOL: Final = {"name": "check_receipt", "arguments": {"request_id": _deep(90)}}
_WIDE: Final = {"name": "search", "arguments": {"query": "x", "collection": [_deep(60)] * 800}}
_TEXT: Final = {"type": "text", "text": "x"}
_PROMPT: Final = {"model": ID, "max_tokens": 1}

ATTACKS: Final[dict[str, Attack]] = {
    "messages": _posted(CHAT, asked(messages=[_USER] * 49_000), 400),
    "messages that just fit": _posted(CHAT, asked(messages=[_USER] * 300), 200),
    "wrong messages": _posted(CHAT, asked(messages=[{}] * 49_000), 400),
    "white space": _posted(COMPLETIONS, _PROMPT | {"prompt": " " * 1_000_000}, 400),
    "special tokens": _posted(TOKENIZE, {"model": ID, "prompt": "<|im_end|>" * 90_000}, 200),
    "one word": _posted(TOKENIZE, {"model": ID, "prompt": "a" * 1_000_000}, 200),
    "patterns together": _posted(CHAT, _schema({"allOf": _PATTERNS}), 400),
    "a large divisor": _posted(CHAT, _schema({"type": "integer", "multipleOf": 999_983}), 400),
    "an expression": _posted(CHAT, asked(guided_regex=".*" * 20_000), 400),
    "arguments": _posted(CHAT, _call('{"a": [' + "1," * 1_400_000 + "1]}"), 400),
    "blocks": _posted(MESSAGES, asked(messages=[_USER | {"content": [_TEXT] * 49_000}]), 400),
    "deep input": _posted(MESSAGES, _used([_deep(60)] * 330), 400),
    "deep call": _posted(MCP, _CALLED | {"params": _TOOL}, 200),
    "wide call": _posted(MCP, _CALLED | {"params": _WIDE}, 200),
    "initialisations": Attack(_initialisations, {200}),
    "long lines": Attack(_long_lines, {200}),
    "small files": Attack(_small_files, {200}),
    "longest batches": Attack(_longest_batches, {200}),
    "a chain of responses": Attack(_chain, {200}),
    "background responses": Attack(_background, {200}),
    "a full conversation": Attack(_full_conversation, {200}),
    "sessions": Attack(_sessions, {200}),
    "wrong sessions": Attack(_wrong_sessions, {401}),
    "one idempotency key": Attack(_one_name, {422}),
    "many idempotency keys": Attack(_ever_other_names, {200}),
    "held streams": Attack(_held_streams, {200}),
}


def unreached(seen: Counter[tuple[str, int]]) -> list[str]:
    """The kinds that met nothing of what they attack."""
    return [
        name
        for name, attack in ATTACKS.items()
        if not any(seen[name, status] for status in attack.reached)
    ]
