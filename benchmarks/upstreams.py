"""The front host's price: processor time, log entries and bytes of a one-token answer.

Two engines that compute nothing answer each side in turn, and 32 light clients ask in one process,
over kept connections, then with one for each request; the median of the rounds counts. Controls
are our server without its log, another checkout, LiteLLM's proxy and nginx.

usage: python -m benchmarks.upstreams [--answers 2000] [--rounds 5] [--beside CHECKOUT] [--others]
       [--keep]
--others measures LiteLLM's proxy, in an environment of its own that the first run makes, and nginx
where it is installed. --keep writes results/upstreams.md. A checkout has its own `.venv`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import uvloop

from appliance.app import initialise, open_services
from benchmarks.league import python_of
from benchmarks.machine import CHECKOUT, processor_s
from benchmarks.results import Figure
from benchmarks.servers import free_port
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from tests.routing.upstreams.site import BIG, approve

_CLIENTS: Final = 32
_WARM: Final = 200
_IDLE_S: Final = 0.05
_LITELLM: Final = "litellm[proxy]==1.80.0"  # of later ones the extra is not published
_PROMISED_MS: Final = 1.8
_COUNTED: Final = """
SELECT (SELECT count(*) FROM leaf WHERE kind IN ('intent', 'hop', 'outcome')),
  (SELECT total(length(body)) FROM leaf WHERE kind IN ('intent', 'hop', 'outcome')),
  (SELECT total(length(nonce) + length(ct)) FROM content), (SELECT count(*) FROM checkpoint)
"""
_NGINX: Final = """
daemon off; pid PLACE/pid; error_log PLACE/error.log; events {}
http {
  access_log PLACE/access.log; client_body_temp_path PLACE/b; proxy_temp_path PLACE/p;
  fastcgi_temp_path PLACE/f; uwsgi_temp_path PLACE/u; scgi_temp_path PLACE/s;
  upstream engines { UPSTREAMS }
  server { listen 127.0.0.1:PORT; location / { proxy_pass http://engines; } }
}
"""


@dataclass
class FrontSide:
    """One server under load, in each round anew.

    Attributes:
        command: starts it.
        secret: its key.
        data: of ours, where its log is.
        ms: processor time of an answer, in each round.
        apart: the same with a connection for each request.
        rates: answers a second, in each round.
        answers: whole answers, those of warming up too.
    """

    name: str
    command: list[str]
    port: int
    secret: str
    place: Path
    data: Path | None = None
    ms: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    answers: int = 0
    failed: int = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[int]:
        """The process that answers."""
        env = {**os.environ, "APPLIANCE_DATA": str(self.data or "")}
        with tempfile.TemporaryFile() as said:
            server = subprocess.Popen(
                self.command, cwd=self.place, env=env, stdout=said, stderr=said
            )
            try:
                yield server.pid
            except RuntimeError as error:
                said.seek(0)
                raise RuntimeError(f"{self.name}: {said.read()[-2000:].decode()}") from error
            finally:
                server.terminate()
                server.wait()

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "processor_ms": round(median(self.ms), 3),
            "processor_ms_of_rounds": [round(one, 3) for one in self.ms],
            "processor_ms_connection_each": round(median(self.apart), 3),
            "answers_s": round(median(self.rates), 1),
            "failed": self.failed,
        }
        log = None if self.data is None else self.data / "audit" / "log.db"
        if log is not None and self.name != "log off":
            with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as database:
                counts = database.execute(_COUNTED).fetchone()
            names = ("entries", "entry_bytes", "text_bytes", "commits")
            found |= {n: round(c / self.answers, 2) for n, c in zip(names, counts, strict=True)}
        return found

    def figures(self) -> Iterator[Figure]:
        """The lines of the sheet; what is promised is promised of ours."""
        relation: Any = "≤" if self.name == "ours" else ""
        yield Figure(f"{self.name}, kept connections", "ms", Summary.of(self.ms),
                     relation=relation, target=_PROMISED_MS)  # fmt: skip
        yield Figure(f"{self.name}, a connection for each request", "ms", Summary.of(self.apart))


def _ours(root: Path, name: str, urls: list[str], command: list[str]) -> FrontSide:
    """A data directory whose upstream is the engines; its hosts are learnt and approved."""
    data, port = root / name.replace(" ", "-") / "data", free_port()
    data.parent.mkdir()
    initialise(data, "lab")
    with (data / "appliance.toml").open("w") as file:
        file.write(f"[server]\nport = {port}\n[engine]\nmax_queued = 256\n")
        file.write('[upstreams.big]\nkind = "vllm"\nmodel = "null"\nslots = 32\n')
        file.write(f"urls = {json.dumps(urls)}\n")
    with open_services(data) as services:
        asyncio.run(services.upstreams.learn("uid:0", BIG))
        approve(services)
        secret = services.keys.create("bench")[1]
    return FrontSide(name, [*command, "--port", str(port)], port, secret, CHECKOUT, data)


def _litellm(root: Path, urls: list[str]) -> FrontSide:
    environment = python_of("litellm", (_LITELLM,)).parent
    place, port = root / "litellm", free_port()
    place.mkdir()
    models = [
        {
            "model_name": BIG,
            "litellm_params": {
                "model": "text-completion-openai/null",
                "api_base": f"{url}/v1",
                "api_key": "none",
            },
        }
        for url in urls
    ]
    # JSON is YAML.
    settings = {"model_list": models, "general_settings": {"master_key": "sk-bench"}}
    (place / "config.yaml").write_text(json.dumps(settings))
    command = [str(environment / "litellm"), "--config", str(place / "config.yaml")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return FrontSide("litellm", command, port, "sk-bench", place)


def _nginx(root: Path, urls: list[str], program: str) -> FrontSide:
    place, port = root / "nginx", free_port()
    place.mkdir()
    servers = " ".join(f"server {url.removeprefix('http://')};" for url in urls)
    text = _NGINX.replace("PLACE", str(place)).replace("PORT", str(port))
    (place / "nginx.conf").write_text(text.replace("UPSTREAMS", servers))
    command = [program, "-p", str(place), "-c", str(place / "nginx.conf")]
    return FrontSide("nginx", command, port, "none", place)


class _Client(asyncio.Protocol):
    """One connection; sends the next request when an answer is whole."""

    def __init__(self, request: bytes, left: list[int], kept: bool) -> None:
        self._request, self._left, self._kept = request, left, kept
        self._rest, self.failed = b"", 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if found and len(body) >= length:
            self.failed -= head.startswith(b"HTTP/1.1 200")
            self._rest = b""
            self._next() if self._kept else self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set_result(None)

    def _next(self) -> None:
        if self._left:
            self._left.pop()
            self.failed += 1  # until it is answered
            self._transport.write(self._request)
        else:
            self._transport.close()


async def load(sides: Sequence[FrontSide], clients: int, count: int, kept: bool = True) -> int:
    """Send one-token requests, one at a time by each client; the number of failed answers.

    Args:
        kept: a client keeps its connection; else it opens one for each request.

    Raises:
        ConnectionError: no server listens.
    """
    loop, left = asyncio.get_running_loop(), [0] * count
    body = json.dumps({"model": BIG, "prompt": "Is it?", "max_tokens": 1}).encode()

    async def client(side: FrontSide) -> int:
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer "
            f"{side.secret}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            "\r\n\r\n"
        )
        made, failed = partial(_Client, head.encode() + body, left, kept), 0
        while left:
            _, one = await loop.create_connection(made, "127.0.0.1", side.port)
            await one.ended
            failed += one.failed
        return failed

    return sum(await asyncio.gather(*(client(sides[n % len(sides)]) for n in range(clients))))


def _round(side: FrontSide, answers: int) -> None:
    def loaded(clients: int, count: int, kept: bool = True) -> int:
        failed = uvloop.run(load([side], clients, count, kept))
        side.answers += count - failed
        return failed

    with side.serving() as pid:
        _until(lambda: not loaded(1, 1))
        loaded(_CLIENTS, _WARM)
        _until(partial(_idle, pid))
        for kept, spent in ((True, side.ms), (False, side.apart)):
            before, begun = processor_s(pid), time.perf_counter()
            side.failed += loaded(_CLIENTS, answers, kept)
            spent.append((processor_s(pid) - before) / answers * 1e3)
            if kept:
                side.rates.append(answers / (time.perf_counter() - begun))


def _until(answered: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionError):
            if answered():
                return
        time.sleep(0.2)
    raise RuntimeError("the server did not answer")


def _idle(pid: int) -> bool:
    """No processor time for half a second; at its start our server has children that compute."""
    before = processor_s(pid)
    time.sleep(0.5)
    return processor_s(pid) - before < _IDLE_S


@contextlib.contextmanager
def _engines(count: int) -> Iterator[list[str]]:
    """Engines that compute nothing; their addresses."""
    command = [sys.executable, "-m", "benchmarks.null_upstream"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT) for _ in range(count)
    ]
    try:
        ports = [int(one.stdout.readline()) for one in started if one.stdout is not None]
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        for one in started:
            one.kill()
            one.wait()


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstreams")
    parser.add_argument("--answers", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--keep", action="store_true")
    wanted = parser.parse_args()
    serve = ["-m", "appliance", "serve"]
    programs = {"ours": [sys.executable, *serve]}
    programs["log off"] = [sys.executable, "-m", "benchmarks.ablated", "--no-log"]
    if wanted.beside is not None:
        programs["beside"] = [str(wanted.beside / ".venv" / "bin" / "python"), *serve]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="upstreams-") as place, _engines(2) as urls:
        root, sides = Path(place), list[FrontSide]()
        for name, command in programs.items():
            sides.append(_ours(root, name, urls, command))
        if wanted.beside is not None:
            sides[-1].place = wanted.beside
        if wanted.others:
            sides.append(_litellm(root, urls))
            if (
                program := shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
            ) is not None:
                sides.append(_nginx(root, urls, program))
        for number in range(wanted.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                _round(side, wanted.answers)
        print(json.dumps({side.name: side.result() for side in sides}, indent=2))
        if wanted.keep:
            title = "processor time of a one-token answer of an engine that computes nothing"
            figures = [figure for side in sides for figure in side.figures()]
            spent = time.monotonic() - begun
            keep("upstreams", "null engine", title, figures, spent, wanted.rounds)


if __name__ == "__main__":
    main()
