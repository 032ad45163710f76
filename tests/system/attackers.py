"""Ten apps that send what costs most, and the times of another app's small requests beside them.

usage: python -m tests.system.attackers [--requests N] [--kind KIND]

Prints p50 and p95 of the small requests alone, and beside one attacker of each kind or ten of one
kind, in milliseconds.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from appliance.app import Services
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from tests.smol import ID
from tests.system.conftest import Server, serving

CONFIG: Final = """
[models.default]
n_ctx = 2048
slots = 4
"""
ROUNDS: Final = 5
_USER: Final = {"role": "user", "content": "x"}
_PATTERNS: Final = [{"type": "string", "pattern": f"a.{{{n}}}b"} for n in range(40)]


def _asked(**fields: Any) -> dict[str, Any]:
    return {"model": ID, "messages": [_USER], "max_tokens": 1, **fields}


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return _asked(response_format=form)


def _call(arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "a", "type": "function", "function": function}]
    return _asked(messages=[_USER, {"role": "assistant", "tool_calls": calls}])


CHAT, COMPLETIONS, TOKENIZE = "/chat/completions", "/completions", "/../tokenize"
ATTACKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "messages": (CHAT, _asked(messages=[_USER] * 60_000)),
    "messages that just fit": (CHAT, _asked(messages=[_USER] * 300)),
    "wrong messages": (CHAT, _asked(messages=[{}] * 900_000)),
    "white space": (COMPLETIONS, {"model": ID, "prompt": " " * 1_000_000, "max_tokens": 1}),
    "special tokens": (TOKENIZE, {"model": ID, "prompt": "<|im_end|>" * 90_000}),
    "one word": (TOKENIZE, {"model": ID, "prompt": "a" * 1_000_000}),
    "patterns together": (CHAT, _schema({"allOf": _PATTERNS})),
    "a large divisor": (CHAT, _schema({"type": "integer", "multipleOf": 999_983})),
    "an expression": (CHAT, _asked(guided_regex=".*" * 20_000)),
    "arguments": (CHAT, _call('{"a": [' + "1," * 1_400_000 + "1]}")),
}


def small(client: httpx.Client) -> float:
    begun = time.perf_counter()
    reply = client.post(
        CHAT, json=_asked(messages=[{"role": "user", "content": "Hello"}], max_tokens=8)
    )
    assert reply.status_code == 200, reply.text
    return 1000 * (time.perf_counter() - begun)


@contextlib.contextmanager
def attacked(
    base_url: str,
    secrets: Sequence[str],
    seen: Counter[tuple[str, int]],
    kinds: Sequence[str] = tuple(ATTACKS),
) -> Iterator[None]:
    over = threading.Event()

    def attack(name: str, secret: str) -> None:
        path, body = ATTACKS[name]
        data = json.dumps(body).encode()
        url = base_url.removesuffix("/v1") + "/tokenize"
        url = url if path == TOKENIZE else base_url + path
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        with httpx.Client(timeout=600, headers=headers) as client:
            while True:
                seen[name, client.post(url, content=data).status_code] += 1
                if over.is_set():
                    return

    threads = [
        threading.Thread(target=attack, args=pair) for pair in zip(kinds, secrets, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def scene(directory: Path, model: Path) -> Iterator[tuple[Server, list[str]]]:
    secrets: list[str] = []

    def keys(services: Services) -> None:
        secrets.extend(services.keys.create(f"attacker {n}")[1] for n in range(len(ATTACKS)))

    with serving(directory, model, CONFIG, keys) as server:
        yield server, secrets


def figures(times: list[float]) -> str:
    if len(times) < 2:
        return f"{times}"
    return f"p50 {statistics.median(times):.0f} p95 {statistics.quantiles(times, n=20)[-1]:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--kind", choices=ATTACKS)
    options = parser.parse_args()
    kinds = [options.kind] * len(ATTACKS) if options.kind else list(ATTACKS)
    model = obtain(cache_root() / "models", default_model())
    seen: Counter[tuple[str, int]] = Counter()
    alone: list[float] = []
    beside: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        scene(Path(directory), model) as (server, secrets),
        server.client() as client,
    ):
        small(client)
        for _ in range(ROUNDS):
            alone += [small(client) for _ in range(options.requests // ROUNDS)]
            with attacked(server.base_url, secrets, seen, kinds):
                beside += [small(client) for _ in range(options.requests // ROUNDS)]
        restarts = server.worker()["restarts"]
    sys.stdout.write(f"alone  {figures(alone)}\nbeside {figures(beside)}\n")
    sys.stdout.write(f"restarts {restarts}; {dict(sorted(seen.items()))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
