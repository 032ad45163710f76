"""Real engines as upstreams: a stock llama.cpp server, and another appliance behind TLS."""

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from appliance.app import Services, open_services
from appliance.auth import certificates
from appliance.clock import SystemClock
from appliance.trust.gguf.reader import MAX_METADATA, Reader, read_header
from appliance.trust.gguf.tensors import TYPES, read_tensors
from appliance.types import Constraint, GenerationRequest, ModelKind, Sampling, TaskNeeds, Tools
from installer.bundle.locks import LOCKS
from tests import oracle
from tests.conftest import CHECKOUT
from tests.ports import free_port
from tests.requantised import Q4_1, Q4_K
from tests.routing.upstreams.site import answer, caller, chat
from tests.smol import ID, SMALL, make_data

_START_S = 120.0
GREEDY = Sampling(temperature=0)
_PART = {
    "type": "object",
    "properties": {"part": {"enum": ["pump", "valve"]}},
    "required": ["part"],
}
TOOL = {"name": "order", "description": "Order a part.", "parameters": _PART}
SCHEMA = {
    "type": "object",
    "properties": {"part": {"enum": ["pump", "valve"]}},
    "required": ["part"],
    "additionalProperties": False,
}


@dataclass
class Running:
    """An engine that answers."""

    url: str
    process: subprocess.Popen[bytes]
    key: str = ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def llama_server(
    model: Path, *, port: int = 0, slots: int = 2, kind: ModelKind = "generate"
) -> Iterator[Running]:
    python = oracle.environment(LOCKS / "lock-engines.txt", "--only-binary", ":all:")
    port = port or free_port()
    script = CHECKOUT / "tests" / "oracles" / "llama_server.py"
    environment = {"PATH": os.defpath, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [python, script, model, str(port), str(slots), kind],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    running = Running(f"http://127.0.0.1:{port}", process)
    try:
        wait_for(running, "/health", None)
        yield running
    finally:
        running.kill()


@contextmanager
def appliance(root: Path, model: Path) -> Iterator[Running]:
    """Another appliance behind TLS, whose CA is `root/data/tls/ca.pem`."""
    port = free_port()
    data, secret = serving(root, model, f"port = {port}", "localhost")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve", "--data", data],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    running = Running(f"https://localhost:{port}", process, secret)
    try:
        wait_for(running, "/readyz", data / "tls" / "ca.pem")
        yield running
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        running.kill()


def serving(root: Path, model: Path, server: str, *names: str) -> tuple[Path, str]:
    """An appliance that serves over TLS, and a key for it.

    Args:
        server: lines of its `[server]`.
        names: in its certificate.
    """
    data = make_data(root, model)
    certificates.issue(data / "tls", names, SystemClock())
    with open_services(data, config=SMALL) as services:
        secret = services.keys.create("front", models=(ID,))[1]
    with (data / "appliance.toml").open("w") as file:
        file.write(f"[server]\n{server}\n[tls]\nenabled = true\n[engine]\nthreads = 1\n")
        file.write('[models."default"]\nn_ctx = 1024\nslots = 2\n')
    return data, secret


def wait_for(running: Running, path: str, ca: Path | None, seconds: float = _START_S) -> None:
    """Raises RuntimeError where the engine does not answer at the path."""
    verify = ssl.create_default_context(cafile=str(ca)) if ca else False
    end = time.monotonic() + seconds
    with httpx.Client(verify=verify, trust_env=False) as client:
        while time.monotonic() < end:
            if running.process.poll() is not None:
                raise RuntimeError("the engine ended")
            with suppress(httpx.TransportError):
                if client.get(running.url + path).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
    raise RuntimeError("the engine did not start")


def perturbed(source: Path, target: Path) -> Path:
    """The model with one tensor of one layer a little larger: other weights behind one name."""
    data = bytearray(source.read_bytes())
    reader = Reader(bytes(data[:MAX_METADATA]), len(data))
    tensors = read_tensors(reader, read_header(reader))
    start = reader.at + -reader.at % 32
    for name, tensor in tensors.items():
        if name == "blk.5.ffn_down.weight" and tensor.type in (Q4_1, Q4_K):
            size = TYPES[tensor.type].bytes  # a block begins with its scale
            blocks = np.frombuffer(data[start : start + tensor.bytes], np.uint8).reshape(-1, size)
            scales = blocks[:, :2].copy().view(np.float16)
            blocks = blocks.copy()
            blocks[:, :2] = (scales * np.float16(1.1)).view(np.uint8)
            data[start : start + tensor.bytes] = blocks.tobytes()
            break
        start += tensor.bytes + -tensor.bytes % 32
    else:
        raise ValueError("the model has no such tensor")
    target.write_bytes(bytes(data))
    return target


async def contract(services: Services, name: str) -> int:
    """The duties of every engine as an upstream, and the table's row of its kind; the number of
    requests, each with a whole answer.
    """
    asked = chat("Name a colour.", model=name, max_tokens=6, sampling=GREEDY)
    pieces = await answer(services, caller(), asked)
    assert "".join(piece.text for piece in pieces).strip()
    assert pieces[-1].finish_reason in ("stop", "length") and pieces[-1].prompt > 0
    given: dict[str, Any] = {"messages": None, "prompt": "The capital of France is", "logprobs": 2}
    told = await answer(
        services, caller(), chat(model=name, max_tokens=3, sampling=GREEDY, **given)
    )
    assert "".join(piece.text for piece in told).strip()
    assert any(piece.logprobs for piece in told)
    form = Constraint("json_schema", json.dumps(SCHEMA))
    made = await answer(
        services, caller(),
        chat("A pump leaks.", model=name, constraint=form, max_tokens=30, sampling=GREEDY),
    )  # fmt: skip
    assert json.loads("".join(piece.text for piece in made))["part"] in ("pump", "valve")
    labels = chat("Is water wet?", model=name, task=TaskNeeds(labels=("yes", "no")), max_tokens=4)
    (last,) = (await answer(services, caller(), labels))[-1:]
    assert len(last.vector) == 8
    others = others_of(services, name)
    for given, fits in others:
        given = {"sampling": GREEDY, **given}
        pieces = await answer(services, caller(), chat("Name a number.", model=name, **given))
        texts = ["".join(p.text for p in pieces if p.index == i) for i in range(given.get("n", 1))]
        count = sum(piece.tokens for piece in pieces)
        assert pieces[-1].finish_reason in ("stop", "length")
        assert all(texts) and fits(texts[0], count), (given, texts, count)
    return 4 + len(others)


async def tokens_of(services: Services, name: str) -> int:
    """The duties of every engine that tells its tokens, here and back; the number of requests."""
    app, tokenizers = caller().principal, services.tokenizers
    known = services.upstreams.get(name).known
    assert known is not None
    text = "The capital of France is"
    asked = GenerationRequest(name, prompt=text)
    told = await tokenizers.tokens(app, asked, strings=True)
    assert tuple(told.tokens)[-len(known.ids[0]) :] == known.ids[0][-len(told.tokens) :]
    assert len(told.strings) == len(told.tokens) and told.strings[-1].endswith(b"is")
    ids = GenerationRequest(name, tokens=tuple(told.tokens))
    assert (await tokenizers.tokens(app, ids)).text.endswith(text)
    talk = GenerationRequest(name, messages=({"role": "user", "content": text},))
    chat_ids = (await tokenizers.tokens(app, talk)).tokens
    back = GenerationRequest(name, tokens=tuple(chat_ids))
    spelt = (await tokenizers.tokens(app, back)).text
    assert text in spelt and "<|im_start|>" in spelt
    plain = await tokenizers.tokens(app, asked, special=False)
    assert len(plain.tokens) <= len(told.tokens)
    return 6 if services.upstreams.get(name).kind.templates else 5


async def queue_of(services: Services, name: str) -> None:
    """The duty of every engine whose kind has a queue: it counts the requests of other clients,
    those that wait too.
    """
    upstream = services.upstreams.get(name)
    (host,), count = upstream.hosts, upstream.config.slots + 1
    body = {
        "model": upstream.config.model, "prompt": "Once", "max_tokens": 400, "ignore_eos": True,
        "stream": True,
    }  # fmt: skip
    assert upstream.kind.queue and await upstream._others(host) == 0
    async with httpx.AsyncClient(timeout=_START_S, trust_env=False) as client:
        asked = [
            asyncio.create_task(client.post(f"{host.url}/v1/completions", json=body))
            for _ in range(count)
        ]
        while await upstream._others(host) < count:
            assert not any(one.done() for one in asked)
            await asyncio.sleep(0.01)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    while await upstream._others(host):
        await asyncio.sleep(0.01)


def others_of(
    services: Services, name: str
) -> list[tuple[dict[str, Any], Callable[[str, int], bool]]]:
    """The table's further abilities of a kind: what is asked for, and how it shows."""
    upstream = services.upstreams.get(name)
    kind, known = upstream.kind, upstream.known
    assert known is not None
    settings = {"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.1, "typical_p": 0.9}
    taken: dict[str, Any] = {k: v for k, v in settings.items() if k in kind.sampling}
    once: dict[str, Any] = {"messages": None, "prompt": "Once", "max_tokens": 3}
    found: list[tuple[dict[str, Any], Callable[[str, int], bool]]] = [
        ({"sampling": replace(GREEDY, **taken), "max_tokens": 4}, lambda text, count: True),
        ({**once, "echo": True}, lambda text, count: text.startswith("Once")),
    ]
    if "regex" in kind.constraints:
        digits = {"constraint": Constraint("regex", "[0-9]{3}"), "max_tokens": 12}
        found.append((digits, lambda text, count: bool(re.fullmatch("[0-9]{3}", text))))
    if "choice" in kind.constraints:
        choice = {"constraint": Constraint("choice", '["one", "two"]'), "max_tokens": 12}
        found.append((choice, lambda text, count: text in ("one", "two")))
    if "min_tokens" in kind.lengths:
        exact = {"max_tokens": 5, "min_tokens": 5, "ignore_eos": True}
        found.append((exact, lambda text, count: count == 5))
    if "ignore_eos" in kind.lengths:
        found.append(({"max_tokens": 40, "ignore_eos": True}, lambda text, count: count == 40))
    if "logit_bias" in kind.sampling and known.ids:
        bias = Sampling(temperature=0, logit_bias=((known.ids[0][-1], 100.0),))
        found.append(({**once, "sampling": bias}, lambda text, count: text == " is is is"))
    if kind.thinking is not None:
        found.append(({"max_tokens": 4, "thinking": False}, lambda text, count: True))
    if kind.choices:
        several = {**once, "sampling": Sampling(temperature=0.8)}  # vLLM refuses equal answers
        found.append(({**several, "n": 2}, lambda text, count: count == 6))
        found.append(({**several, "best_of": 2}, lambda text, count: count == 3))  # the best alone
    # vLLM 0.32 lets SmolLM2 write a string as its arguments, whatever the schema says: refused.
    if "tool_choice" in kind.tools and kind.name != "vllm":
        tools = {"tools": Tools((TOOL,), ("order",), parallel=False), "max_tokens": 60}
        begin = '<tool_call>{"name": "order", "arguments": {'
        found.append((tools, lambda text, count: text.startswith(begin)))
    if kind.token_prompts and known.ids:
        ids = {"messages": None, "tokens": known.ids[0], "max_tokens": 3}
        found.append((ids, lambda text, count: True))
    return found
