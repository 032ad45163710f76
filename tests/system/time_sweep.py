"""The cost of one request: each hostile value in each field, in processor time.

usage: python -m tests.system.time_sweep [--count N] [--seed N] [--match TEXT]

Every case is a body with one value of one shape and one size in one place; the largest is almost as
large as a body may be. Cases go to a real server, one after the other; the cost is the processor
time of the server and its workers. Prints the number of cases, those that failed, and the dearest.
The server's rest after large bodies is off here.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from appliance.wire.anthropic.messages import MessagesRequest
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
from benchmarks.machine import children
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from tests import minilm
from tests.contract.conftest import EMBEDDER, RERANKER, Live, items_to_label, live

MOST_S: Final = 2.0
"""Seconds of a core that one request may take."""
SIZES: Final = ((4 << 20) - 1000, (1 << 20) - 1000, (64 << 10) - 1000)
"""Bytes of a value: of the largest body, of the largest prompt, and of a small body."""
CONFIG: Final = "\n[engine]\nthreads = 1\n[models.default]\nn_ctx = 256\nslots = 2\n"
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
Make = Callable[[str], str]


@dataclass(frozen=True)
class Case:
    """One request; its name is place and shape."""

    name: str
    path: str
    body: bytes


_USER: Final = '[{"role":"user","content":"x"}]'
ROUTES: Final[dict[str, tuple[str, type[BaseModel], dict[str, str]]]] = {
    "messages": ("/messages", MessagesRequest, {"messages": _USER, "max_tokens": "1"}),
    "chat": ("/chat/completions", ChatRequest, {"messages": _USER, "max_tokens": "1"}),
    "completions": ("/completions", CompletionRequest, {"prompt": '"x"', "max_tokens": "1"}),
    "responses": ("/responses", ResponsesRequest, {"input": '"x"', "max_output_tokens": "1"}),
    "embeddings": ("/embeddings", EmbeddingRequest, {"input": '"x"'}),
    "rerank": ("/rerank", RerankRequest, {"query": '"x"', "documents": '["x"]'}),
    "classify": ("/classify", ClassifyRequest, {"input": '"x"'}),
    "search": ("/search", SearchRequest, {"collection": '"a"', "query": '"x"'}),
    "tokenize": ("/../tokenize", TokenizeRequest, {"prompt": '"x"'}),
    "detokenize": ("/../detokenize", DetokenizeRequest, {"tokens": "[1]"}),
    "batches": ("/batches", BatchRequest, {
        "input_file_id": '"a"', "endpoint": '"/v1/completions"', "completion_window": '"24h"',
    }),
    "sessions": ("/sessions", SessionBegin, {}),
    "labels": ("/labels/notices", LabelSaid, {"item": '"w00000"', "label": '"leak"'}),
    "answers": ("/queue/none/answer", AnswerRequest, {"answer": '"x"'}),
    "conversations": ("/conversations", ConversationRequest, {}),
    "items": ("/conversations/{name}/items", ItemsRequest, {"items": _USER}),
    "mcp": ("/../mcp", RpcRequest, {
        "jsonrpc": '"2.0"', "id": "1", "method": '"tools/call"',
        "params": '{"name":"ask","arguments":{"task":"smol","text":"x"}}',
    }),
}  # fmt: skip
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


ADDRESSES: Final = (
    "/batches/%s", "/batches?after=%s", "/collections/manuals/passages/%s",
    "/collections/%s/passages/x", "/conversations/{name}/items?after=%s", "/files/%s/content",
    "/files?after=%s", "/labels/%s", "/models/%s", "/queue/%s", "/receipts/%s",
    "/requests?before=%s", "/requests?since=%s", "/responses/resp_%s",
)  # fmt: skip
"""Addresses that are read, with a place for a value."""
_ADDRESS: Final = 6 << 10
_LINES: Final = [
    "%s",
    '{"custom_id":%s,"method":"POST","url":"/v1/completions","body":{"model":"smol"}}',
    '{"custom_id":"a","method":"POST","url":"/v1/completions","body":%s}',
    '{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"model":"smol","prompt":%s}}',
]
"""Lines of a file for batches."""
_BOUNDARY: Final = "7d1f"
_PART: Final = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"


def _form(lines: str) -> str:
    named = _PART.replace('name="%s"', 'name="file"; filename="a"', 1)
    return _PART % ("purpose", "batch") + named.replace("%s", lines) + f"--{_BOUNDARY}--\r\n"


def places() -> Iterator[tuple[str, str, Make]]:
    """A name, the path, and how a value there becomes a body."""
    for route, (path, kind, least) in ROUTES.items():
        model = {"model": json.dumps(MODELS.get(route, "smol"))}
        model = model if "model" in kind.model_fields else {}
        names = [field.alias or name for name, field in kind.model_fields.items()]
        forms = [(name, "%s") for name in [*names, "unknown"]]
        forms += [(name, form) for where, name, form in _NESTED if where == route]
        for name, form in forms:

            def make(
                value: str,
                name: str = name,
                form: str = form,
                least: dict[str, str] = least,
                model: dict[str, str] = model,
            ) -> str:
                return _object(**{**model, **least, name: form.replace("%s", value)})

            yield f"{route} {name} {form}", path, make
        yield f"{route} body", path, str
    for line in _LINES:

        def sent(value: str, line: str = line) -> str:
            return _form(line.replace("%s", value))

        yield f"files {line}", "/files", sent
    yield "files purpose", "/files", lambda value: _form("{}").replace("batch", value)


def cases() -> Iterator[tuple[str, str, Make, str, int]]:
    for place, path, make in places():
        for shape, size in itertools.product(SHAPES, SIZES):
            yield place, path, make, shape, size
    for path, shape in itertools.product(ADDRESSES, SHAPES):
        yield f"GET {path}", path, str, shape, _ADDRESS


def drawn(count: int, seed: int, match: str = "") -> Iterator[Case]:
    """So many cases by chance whose names have `match`; 0 for all."""
    found = [case for case in cases() if match in _name(*case)]
    picked = random.Random(seed).sample(found, min(count or len(found), len(found)))
    for place, path, make, shape, size in picked:
        name = _name(place, path, make, shape, size)
        yield Case(name, path, make(SHAPES[shape](size)).encode())


def _name(place: str, _path: str, _make: Make, shape: str, size: int) -> str:
    return f"{place}: {shape}, {size >> 10} KiB"


def spent(server: Live) -> float:
    ticks = 0
    for pid in (server.process.pid, *children(server.process.pid)):
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """Seconds of a core by case, statuses, and cases with faults of the server."""

    took: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        dearest = sorted(self.took.items(), key=lambda pair: -pair[1])[:12]
        seconds = sum(self.took.values())
        lines = [f"{len(self.took)} cases, {seconds:.0f} s of a core; {dict(self.statuses)}"]
        lines += [f"failed: {name}" for name in self.failed]
        return "\n".join([*lines, *(f"{took:6.2f} s  {name}" for name, took in dearest)])

    @property
    def most(self) -> float:
        return max(self.took.values())


def sweep(server: Live, picked: Iterable[Case]) -> Seen:
    seen = Seen()
    root = server.base_url.removesuffix("/v1")
    headers = {"authorization": f"Bearer {server.api_key}"}
    with httpx.Client(timeout=600, headers=headers) as client:
        begun = client.post(f"{server.base_url}/conversations", json={}).json()["id"]
        for case in picked:
            path = case.path.format(name=begun)
            kind = FORM_TYPE if path == "/files" else "application/json"
            url = root + path[3:] if path.startswith("/..") else server.base_url + path
            before = spent(server)
            if "%s" in url:
                reply = client.get(url.replace("%s", quote(case.body, safe="")))
            else:
                reply = client.post(url, content=case.body, headers={"content-type": kind})
            seen.took[case.name] = spent(server) - before
            seen.statuses[reply.status_code] += 1
            if reply.status_code >= 500:
                seen.failed.append(f"{reply.status_code} {case.name}")
    return seen


@contextlib.contextmanager
def scene(
    directory: Path, models: dict[str, Path], program: tuple[str, ...] = PLAIN
) -> Iterator[Live]:
    others = {name: models[name] for name in (EMBEDDER, RERANKER)}
    with live(directory, models["smol"], CONFIG, others, "mcp = true\n", program=program) as server:
        items_to_label(server, directory)
        yield server


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--match", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        models = {
            "smol": obtain(cache_root() / "models", default_model()),
            EMBEDDER: minilm.embedder(directory / "embedder.gguf"),
            RERANKER: minilm.reranker(directory / "reranker.gguf"),
        }
        (directory / "site").mkdir()
        with scene(directory / "site", models) as server:
            seen = sweep(server, drawn(options.count, options.seed, options.match))
    sys.stdout.write(f"{seen}\n")
    return os.EX_OK if seen.most <= MOST_S and not seen.failed else 1


if __name__ == "__main__":
    sys.exit(main())
