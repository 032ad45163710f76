"""The cost of one request: each hostile value in each field, in processor time.

usage: python -m tests.system.time_sweep [--count N] [--seed N] [--match TEXT] [--kept FILE]
       [--seconds N]

Every case is one value of one shape and one size in one place: a field of a body, a part of an
address, or a header. The routes are those of the app; the largest body is almost as large as one
may be. Cases go to a real server, one after the other; the cost is the processor time of the server
and its workers. Prints the number of cases, those that failed, and the dearest. The server's rest
after large bodies is off here.
--kept FILE has a line for each case that was sent, so that a run goes on where the last one ended;
--seconds N ends one early.
"""

import argparse
import contextlib
import functools
import itertools
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from appliance.api import app
from appliance.api.openai import login
from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.peers import ring
from appliance.wire.anthropic.messages import CountRequest, MessagesRequest
from appliance.wire.mcp.rpc import RpcRequest
from appliance.wire.openai.batches import BatchRequest
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.classify import ClassifyRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.conversations import ConversationRequest, ItemsRequest
from appliance.wire.openai.embeddings import EmbeddingRequest
from appliance.wire.openai.labels import LabelSaid
from appliance.wire.openai.queue import AnswerRequest
from appliance.wire.openai.rerank import RerankRequest
from appliance.wire.openai.responses_request import ResponsesRequest
from appliance.wire.openai.search import SearchRequest
from appliance.wire.openai.sessions import SessionBegin
from appliance.wire.openai.tokenize import DetokenizeRequest, TokenizeRequest
from benchmarks.machine import processor_s
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from tests import minilm
from tests.contract.conftest import EMBEDDER, RERANKER, Live, items_to_label, live

MOST_S: Final = 2.0
"""Seconds of a core that one request may take."""
SIZES: Final = ((4 << 20) - 1000, (1 << 20) - 1000, (64 << 10) - 1000)
"""Bytes of a value: of the largest body, of the largest prompt, and of a small body."""
CONFIG: Final = "\n[engine]\nthreads = 1\n[models.default]\nn_ctx = 256\nslots = 2\n"
LISTENER: Final = "mcp = true\npeople = true\n"
_PEER: Final = """
[people]
page_key = "page"
[peers.other]
url = "http://127.0.0.1:9"
log_key = "%s"
witness_key = "%s"
"""
RESTLESS: Final = """
from appliance.api import json_body, large_bodies
from appliance.cli.main import main
large_bodies._REST_S = 0
"""
PLAIN: Final = ("-c", RESTLESS + "main()")
SLOW: Final = (
    "-c",
    RESTLESS
    + """
def slow(body, quick=json_body.parsed):
    for at in range(0, len(body), 8192):
        body.count(b"never", 0, at)
    return quick(body)
json_body.parsed = slow
main()
""",
)
"""A server that reads bodies in quadratic time."""


def repeated(size: int, item: str, begin: str = "", end: str = "", join: str = "") -> str:
    return begin + join.join([item] * (size // len((item + join).encode()))) + end


def _text(size: int, item: str) -> str:
    return repeated(size, item, '"', '"')


def _list(size: int, item: str) -> str:
    return repeated(size, item, "[", "]", ",")


def _keys(size: int, value: str) -> str:
    return "{" + ",".join(f'"{n:06x}":{value}' for n in range(size // (len(value) + 10))) + "}"


def _object(**fields: str) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


_CALL: Final = '{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}'
_TOOL: Final = '{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}'
SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "letters": lambda size: _text(size, "a"),
    "words": lambda size: _text(size, "the pump "),
    "spaces": lambda size: _text(size, " "),
    "new lines": lambda size: _text(size, "\\n"),
    "control tokens": lambda size: _text(size, "<|im_end|>"),
    "beginnings of control tokens": lambda size: _text(size, "<|im_"),
    "escapes": lambda size: _text(size, "\\u0041"),
    "pairs": lambda size: _text(size, "\\ud83d\\ude00"),
    "halves": lambda size: _text(size, "\\ud83d"),
    "combining marks": lambda size: _text(size, "e\u0301\u0323"),
    "rare letters": lambda size: _text(size, "\U0001f9ff"),
    "quotes": lambda size: _text(size, '\\"'),
    "digits in a text": lambda size: _text(size, "1"),
    "JSON in a text": lambda size: '"' + repeated(size, "1", '{\\"a\\":[', "]}", ",") + '"',
    "depth in a text": lambda size: _text(size, "["),
    "dots and stars": lambda size: _text(size, ".*"),
    "groups": lambda size: _text(size, "(a|b)"),
    "counts": lambda size: _text(size, "a{1,9}"),
    "classes": lambda size: _text(size, "[^a-z]"),
    "braces of templates": lambda size: _text(size, "{{ x }}{% if y %}"),
    "one number": lambda size: repeated(size, "1"),
    "one fraction": lambda size: "0." + repeated(size, "1"),
    "numbers": lambda size: _list(size, "1"),
    "large numbers": lambda size: _list(size, "18446744073709551616"),
    "fractions": lambda size: _list(size, "1.5e-7"),
    "letters apart": lambda size: _list(size, '"a"'),
    "nulls": lambda size: _list(size, "null"),
    "objects": lambda size: _list(size, "{}"),
    "lists": lambda size: _list(size, "[]"),
    "lists of numbers": lambda size: _list(size, "[1,2]"),
    "depth": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "depths": lambda size: _list(size, "[" * 90 + "]" * 90),
    "keys": lambda size: _keys(size, "1"),
    "keys of schemas": lambda size: _keys(size, '{"type":"string"}'),
    "equal keys": lambda size: repeated(size, '"a":1', "{", "}", ","),
    "messages": lambda size: _list(size, '{"role":"user","content":"x"}'),
    "calls": lambda size: _list(size, '{"role":"assistant","tool_calls":[' + _CALL + "]}"),
    "many calls": lambda size: _list(size, _CALL),
    "parts": lambda size: _list(size, '{"type":"text","text":"x"}'),
    "tools": lambda size: _list(size, _TOOL),
    "patterns": lambda size: _list(size, '{"type":"string","pattern":"a.{9}b"}'),
    "references": lambda size: _list(size, '{"$ref":"#/$defs/a"}'),
    "an enumeration": lambda size: _object(enum=_list(size, '"ab"')),
    "an alternation": lambda size: _object(anyOf=_list(size, '{"const":"ab"}')),
    "all of": lambda size: _object(allOf=_list(size, '{"type":"object"}')),
    "required": lambda size: _object(type='"object"', required=_list(size, '"a"')),
    "properties": lambda size: _object(
        type='"object"', properties=_keys(size, '{"type":"string"}')
    ),
    "definitions": lambda size: _object(
        **{"$ref": '"#/$defs/000001"', "$defs": _keys(size, '{"type":"null"}')}
    ),
    "a pattern": lambda size: _object(type='"string"', pattern=_text(size, "(a|b)")),
    "a constant": lambda size: _object(const=_text(size, "a")),
    "items": lambda size: _object(type='"array"', prefixItems=_list(size, '{"type":"null"}')),
}
Make = Callable[[str], tuple[str, str]]
"""The address and the body that a value becomes."""


@dataclass(frozen=True)
class Case:
    """One request; its name is place and shape."""

    name: str
    method: str
    path: str
    body: bytes
    header: str = ""


@dataclass(frozen=True)
class Place:
    """Where a value may stand.

    Attributes:
        header: the header that has the value in place of a body.
    """

    name: str
    method: str
    make: Make
    sizes: tuple[int, ...] = SIZES
    header: str = ""


_USER: Final = '[{"role":"user","content":"x"}]'
ROUTES: Final[dict[str, tuple[str, type[BaseModel], dict[str, str]]]] = {
    "messages": ("/v1/messages", MessagesRequest, {"messages": _USER, "max_tokens": "1"}),
    "chat": ("/v1/chat/completions", ChatRequest, {"messages": _USER, "max_tokens": "1"}),
    "completions": ("/v1/completions", CompletionRequest, {"prompt": '"x"', "max_tokens": "1"}),
    "responses": ("/v1/responses", ResponsesRequest, {"input": '"x"', "max_output_tokens": "1"}),
    "embeddings": ("/v1/embeddings", EmbeddingRequest, {"input": '"x"'}),
    "rerank": ("/v1/rerank", RerankRequest, {"query": '"x"', "documents": '["x"]'}),
    "classify": ("/v1/classify", ClassifyRequest, {"input": '"x"'}),
    "search": ("/v1/search", SearchRequest, {"collection": '"a"', "query": '"x"'}),
    "tokenize": ("/tokenize", TokenizeRequest, {"prompt": '"x"'}),
    "detokenize": ("/detokenize", DetokenizeRequest, {"tokens": "[1]"}),
    "batches": ("/v1/batches", BatchRequest, {
        "input_file_id": '"a"', "endpoint": '"/v1/completions"', "completion_window": '"24h"',
    }),
    "sessions": ("/v1/sessions", SessionBegin, {}),
    "labels": ("/v1/labels/{queue}", LabelSaid, {"item": '"w00000"', "label": '"leak"'}),
    "answers": ("/v1/queue/{item_id}/answer", AnswerRequest, {"answer": '"x"'}),
    "conversations": ("/v1/conversations", ConversationRequest, {}),
    "conversation": ("/v1/conversations/{name}", ConversationRequest, {}),
    "items": ("/v1/conversations/{name}/items", ItemsRequest, {"items": _USER}),
    "count": ("/v1/messages/count_tokens", CountRequest, {"messages": _USER}),
    "input tokens": ("/v1/responses/input_tokens", ResponsesRequest, {"input": '"x"'}),
    "mcp": ("/mcp", RpcRequest, {
        "jsonrpc": '"2.0"', "id": "1", "method": '"tools/call"',
        "params": '{"name":"ask","arguments":{"task":"smol","text":"x"}}',
    }),
}  # fmt: skip
"""Routes whose bodies have values inside values, or no example that runs."""


def served() -> Iterator[tuple[str, str, APIRoute]]:
    """Path, method and route of all that the app may serve, whatever is switched on."""
    for one in iter_route_contexts([*app._routes(True, True), *login.router.routes]):
        route = one.original_route
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield str(one.path).replace(":path", ""), method, route


def bodies() -> dict[str, tuple[str, type[BaseModel], dict[str, str]]]:
    """`ROUTES`, and every other route with a body; its example is the least."""
    found, known = dict(ROUTES), {path for path, _, _ in ROUTES.values()}
    for path, method, route in served():
        if method != "POST" or path in known or not route.dependant.body_params:
            continue
        (kind,) = (one.field_info.annotation for one in route.dependant.body_params)
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        extra: Any = kind.model_config.get("json_schema_extra") or {}
        (least,) = extra.get("examples") or [{}]
        found[path] = path, kind, {k: json.dumps(v) for k, v in least.items() if k != "model"}
    return found


def addresses() -> Iterator[tuple[str, str, str]]:
    """Method, address with `%s` for a value, and body of every route that reads its address."""
    least = {path: _object(**fields) for path, _, fields in bodies().values()}
    for path, method, route in served():
        body = least.get(path, "") if method == "POST" else ""
        for one in route.dependant.path_params:
            yield method, path.replace(f"{{{one.alias}}}", "%s"), body
        for one in route.dependant.query_params:
            yield method, f"{path}?{one.alias}=%s", body


MODELS: Final = {"embeddings": EMBEDDER, "rerank": RERANKER}
_MESSAGE: Final = '[{"role":"user","content":"x"},%s]'
_FORM: Final = '{"type":"json_schema","json_schema":{"name":"a","schema":%s}}'
_NESTED: Final[list[tuple[str, str, str]]] = [
    ("chat", "messages", '[{"role":"user","content":%s}]'),
    ("chat", "messages", '[{"role":%s,"content":"x"}]'),
    ("chat", "messages", '[{"role":"user","content":"x","refusal":%s}]'),
    ("chat", "messages", '[{"role":"user","content":[{"type":"text","text":%s}]}]'),
    ("chat", "messages", _MESSAGE % '{"role":"assistant","tool_calls":%s}'),
    (
        "chat",
        "messages",
        _MESSAGE
        % '{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":%s}}]}',
    ),
    (
        "chat",
        "messages",
        _MESSAGE
        % '{"role":"assistant","tool_calls":[{"id":"a","function":{"name":%s,"arguments":"{}"}}]}',
    ),
    ("chat", "messages", _MESSAGE % '{"role":"tool","tool_call_id":%s,"content":"x"}'),
    ("chat", "messages", '[{"role":"user","content":"x"},%s]'),
    ("chat", "tools", '[{"type":"function","function":{"name":%s}}]'),
    ("chat", "tools", '[{"type":"function","function":{"name":"f","description":%s}}]'),
    ("chat", "tools", '[{"type":"function","function":{"name":"f","parameters":%s}}]'),
    ("chat", "response_format", '{"type":%s}'),
    ("chat", "response_format", _FORM),
    *(
        ("chat", "response_format", _FORM.replace("%s", f'{{"{keyword}":%s}}'))
        for keyword in (
            "type", "properties", "required", "enum", "const", "pattern", "format", "multipleOf",
            "minimum", "maximum", "minLength", "maxLength", "items", "prefixItems", "minItems",
            "maxItems", "allOf", "anyOf", "oneOf", "not", "$ref", "$defs", "description",
            "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        )
    ),
    ("completions", "prompt", "[%s]"),
    ("responses", "input", '[{"role":"user","content":%s}]'),
    ("responses", "input", '[{"role":"user","content":[{"type":"input_text","text":%s}]}]'),
    ("responses", "input", '[{"type":"function_call","call_id":"a","name":"f","arguments":%s}]'),
    ("responses", "input", '[{"type":"function_call_output","call_id":"a","output":%s}]'),
    ("responses", "input", '[{"type":"reasoning","summary":%s}]'),
    ("responses", "text", '{"format":{"type":"json_schema","name":"a","schema":%s}}'),
    ("responses", "tools", '[{"type":"function","name":"f","parameters":%s}]'),
    ("messages", "messages", '[{"role":"user","content":%s}]'),
    ("messages", "messages", '[{"role":"user","content":[{"type":"text","text":%s}]}]'),
    ("messages", "messages", '[{"role":"user","content":[{"type":"tool_result","content":%s}]}]'),
    ("messages", "tools", '[{"name":"f","input_schema":%s}]'),
    ("messages", "output_config", '{"format":{"type":"json_schema","schema":%s}}'),
    ("embeddings", "input", "[%s]"),
    ("rerank", "documents", "[%s]"),
    ("rerank", "documents", '[{"text":%s}]'),
    ("tokenize", "messages", '[{"role":"user","content":%s}]'),
    ("conversations", "metadata", '{"a":%s}'),
    *(
        (route, "items", form)
        for route in ("conversations", "items")
        for form in (
            '[{"role":"user","content":%s}]',
            '[{"role":"user","content":[{"type":"input_text","text":%s}]}]',
            '[{"type":"function_call","call_id":"a","name":"f","arguments":%s}]',
            '[{"type":"reasoning","summary":%s}]',
        )
    ),
    ("batches", "metadata", '{"a":%s}'),
    ("mcp", "params", '{"name":%s}'),
    ("mcp", "params", '{"name":"ask","arguments":{"task":"smol","text":%s}}'),
    ("mcp", "params", '{"name":"classify","arguments":{"task":"smol","texts":%s}}'),
    ("mcp", "params", '{"name":"search_collection","arguments":{"collection":"a","query":%s}}'),
    ("mcp", "params", '{"name":"check_receipt","arguments":{"request_id":%s}}'),
]  # fmt: skip


_ALIKE: Final = {
    "count": "messages", "input tokens": "responses", "conversation": "conversations",
}  # fmt: skip
HEADERS: Final = (
    "idempotency-key", "x-request-id", "x-client-request-id", "traceparent", "x-end-user",
    "x-end-user-token", "x-stainless-retry-count", "origin", "content-type", "accept", "cookie",
    "if-none-match", "anthropic-version", "mcp-protocol-version", "user-agent", "x-unknown",
)  # fmt: skip
"""Headers of a completion; a wrong key is answered late on purpose, and is not among them."""
SIGNED: Final = (
    ring.PATH, ring.DOCUMENTS, ring.RECEIPTS, ring.LOOKS, ring.ENTRIES, ring.QUOTAS,
)  # fmt: skip
"""Addresses of other appliances, which send bytes."""
_ADDRESS: Final = (6 << 10,)
_KNOWN: Final = {"queue": "notices", "item_id": "none", "collection": "manuals"}
_LINES: Final = [
    "%s",
    '{"custom_id":%s,"method":"POST","url":"/v1/completions","body":{"model":"smol"}}',
    '{"custom_id":"a","method":"POST","url":"/v1/completions","body":%s}',
    '{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"model":"smol","prompt":%s}}',
]
"""Lines of a file for batches."""
_FILES: Final = "/v1/files"
_BOUNDARY: Final = "7d1f"
_PART: Final = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"


def _form(lines: str) -> str:
    named = _PART.replace('name="%s"', 'name="file"; filename="a"', 1)
    return _PART % ("purpose", "batch") + named.replace("%s", lines) + f"--{_BOUNDARY}--\r\n"


def places() -> Iterator[Place]:
    for route, (path, kind, least) in bodies().items():
        model = {"model": json.dumps(MODELS.get(route, "smol"))}
        model = model if "model" in kind.model_fields else {}
        names = [field.alias or name for name, field in kind.model_fields.items()]
        forms = [(name, "%s") for name in [*names, "unknown"]]
        alike = _ALIKE.get(route, route)
        forms += [(name, form) for where, name, form in _NESTED if where == alike and name in names]
        for name, form in forms:

            def make(
                value: str,
                path: str = path,
                name: str = name,
                form: str = form,
                least: dict[str, str] = least,
                model: dict[str, str] = model,
            ) -> tuple[str, str]:
                return path, _object(**{**model, **least, name: form.replace("%s", value)})

            yield Place(f"{route} {name} {form}", "POST", make)
        yield _whole(path, route)
    for path in SIGNED:
        yield _whole(path, path)
    for line in _LINES:

        def sent(value: str, line: str = line) -> tuple[str, str]:
            return _FILES, _form(line.replace("%s", value))

        yield Place(f"files {line}", "POST", sent)
    yield Place("files purpose", "POST", lambda v: (_FILES, _form("{}").replace("batch", v)))
    for method, address, body in addresses():

        def asked(value: str, address: str = address, body: str = body) -> tuple[str, str]:
            return address.replace("%s", quote(value, safe="")), body

        yield Place(f"{method} {address}", method, asked, _ADDRESS)
    path, _, least = ROUTES["completions"]
    body = _object(model='"smol"', **least)
    for header in HEADERS:

        def headed(value: str, body: str = body, path: str = path) -> tuple[str, str]:
            return path, f"{value}\n{body}"

        yield Place(f"header {header}", "POST", headed, _ADDRESS, header)


def _whole(path: str, route: str) -> Place:
    return Place(f"{route} body", "POST", lambda value: (path, value))


def cases() -> Iterator[tuple[Place, str, int]]:
    for place in places():
        for shape, size in itertools.product(SHAPES, place.sizes):
            yield place, shape, size


def drawn(count: int, seed: int, match: str = "") -> Iterator[Case]:
    """So many cases by chance whose names have `match`; 0 for all."""
    found = [case for case in cases() if match in _name(*case)]
    picked = random.Random(seed).sample(found, min(count or len(found), len(found)))
    for place, shape, size in picked:
        path, body = place.make(_value(shape, size))
        name = _name(place, shape, size)
        yield Case(name, place.method, path, body.encode(), place.header)


@functools.cache
def _value(shape: str, size: int) -> str:
    return SHAPES[shape](size)


def _name(place: Place, shape: str, size: int) -> str:
    return f"{place.name}: {shape}, {size >> 10} KiB"


@dataclass
class Seen:
    """Seconds of a core by case, statuses, and cases with faults of the server."""

    took: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def note(self, name: str, seconds: float, status: int) -> None:
        self.took[name] = seconds
        self.statuses[status] += 1
        if status >= 500:
            self.failed.append(f"{status} {name}")

    def __str__(self) -> str:
        dearest = sorted(self.took.items(), key=lambda pair: -pair[1])[:12]
        seconds = sum(self.took.values())
        lines = [f"{len(self.took)} cases, {seconds:.0f} s of a core; {dict(self.statuses)}"]
        lines += [f"failed: {name}" for name in self.failed]
        return "\n".join([*lines, *(f"{took:6.2f} s  {name}" for name, took in dearest)])

    @property
    def most(self) -> float:
        return max(self.took.values())


def sweep(server: Live, picked: Iterable[Case], kept: Path | None = None) -> Seen:
    """Send cases; those of which `kept` has a line count as they were."""
    seen, root = Seen(), server.base_url.removesuffix("/v1")
    for line in kept.read_text("utf-8").splitlines() if kept and kept.is_file() else ():
        seen.note(*json.loads(line))
    headers = {"authorization": f"Bearer {server.api_key}"}
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(timeout=600, headers=headers))
        written = stack.enter_context(kept.open("a", encoding="utf-8")) if kept else None
        begun = client.post(f"{server.base_url}/conversations", json={}).json()["id"]
        known = {**_KNOWN, "name": begun}
        for case in picked:
            if case.name in seen.took:
                continue
            path = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "x"), case.path)
            before = processor_s(server.process.pid)
            reply = client.send(_request(client, case, root + path))
            took = processor_s(server.process.pid) - before
            seen.note(case.name, took, reply.status_code)
            if written is not None:
                written.write(json.dumps([case.name, took, reply.status_code]) + "\n")
                written.flush()
    return seen


def _request(client: httpx.Client, case: Case, url: str) -> httpx.Request:
    kind = FORM_TYPE if case.path == _FILES and case.method == "POST" else "application/json"
    headers, body = {b"content-type": kind.encode()}, case.body
    if case.header:
        headers[case.header.encode()], _, body = body.rpartition(b"\n")
    return client.build_request(case.method, url, content=body, headers=headers)


def everything_on() -> str:
    """Tables of a configuration whose app has every route."""
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    keys = (VerifierKey("peer/log", public), VerifierKey("peer/witness", public, COSIGNATURES))
    return _PEER % tuple(key.encode() for key in keys)


@contextlib.contextmanager
def scene(
    directory: Path, models: dict[str, Path], program: tuple[str, ...] = PLAIN
) -> Iterator[Live]:
    """A server on which everything is on; its peer never answers."""
    others = {name: models[name] for name in (EMBEDDER, RERANKER)}
    config = CONFIG + everything_on()
    with live(directory, models["smol"], config, others, LISTENER, program=program) as server:
        server.run("key", "create", "page", "--person")
        items_to_label(server, directory)
        yield server


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--match", default="")
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        models = {
            "smol": obtain(cache_root() / "models", default_model()),
            EMBEDDER: minilm.embedder(directory / "embedder.gguf"),
            RERANKER: minilm.reranker(directory / "reranker.gguf"),
        }
        (directory / "site").mkdir()
        with scene(directory / "site", models) as server:
            picked = drawn(options.count, options.seed, options.match)
            timely = itertools.takewhile(lambda _: time.monotonic() < end, picked)
            seen = sweep(server, timely, options.kept)
    sys.stdout.write(f"{seen}\n")
    return os.EX_OK if seen.most <= MOST_S and not seen.failed else 1


if __name__ == "__main__":
    sys.exit(main())
