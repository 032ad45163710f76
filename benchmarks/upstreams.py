"""The front host's price: processor time, log entries and bytes of a one-token answer.

Two engines that compute nothing answer each side in turn, over kept connections, then with one for
each request; the median of the rounds counts. Controls are our server without its log, another
checkout, LiteLLM's proxy and nginx.

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
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpcore

from appliance.app import initialise, open_services
from benchmarks.league import python_of
from benchmarks.machine import CHECKOUT, children
from benchmarks.results import Figure
from benchmarks.servers import free_port
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from tests.routing.upstreams.site import BIG, approve

_CLIENTS: Final = 32
_WARM: Final = 200
_OK: Final = 200
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

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """The process that answers."""
        env = {**os.environ, "APPLIANCE_DATA": str(self.data or "")}
        with tempfile.TemporaryFile() as said:
            server = await asyncio.create_subprocess_exec(
                *self.command, cwd=self.place, env=env, stdout=said, stderr=said
            )
            try:
                yield server.pid
            except RuntimeError as error:
                said.seek(0)
                raise RuntimeError(f"{self.name}: {said.read()[-2000:].decode()}") from error
            finally:
                with contextlib.suppress(ProcessLookupError):
                    server.terminate()
                await server.wait()

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


async def _round(side: FrontSide, answers: int) -> None:
    body = json.dumps({"model": BIG, "prompt": "Is it?", "max_tokens": 1}).encode()
    headers = [
        ("host", "bench"), ("authorization", f"Bearer {side.secret}"),
        ("content-type", "application/json"), ("content-length", str(len(body))),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{side.port}/v1/completions"
    async with contextlib.AsyncExitStack() as stack:
        pid = await stack.enter_async_context(side.serving())
        pools = [
            await stack.enter_async_context(
                httpcore.AsyncConnectionPool(
                    max_connections=_CLIENTS,
                    max_keepalive_connections=kept,
                    keepalive_expiry=4,  # before a server ends one
                )
            )
            for kept in (_CLIENTS, 0)
        ]
        pool = pools[0]

        async def ask() -> bool:
            whole = (await pool.request("POST", url, headers=headers, content=body)).status == _OK
            side.answers += whole
            return whole

        async def client(left: list[int]) -> None:
            while left:
                left.pop()
                side.failed += not await ask()

        async def load(count: int) -> None:
            left = [0] * count
            await asyncio.gather(*(client(left) for _ in range(_CLIENTS)))

        await _until_ready(ask)
        await load(_WARM)
        before, begun = _processor(pid), time.perf_counter()
        await load(answers)
        side.ms.append((_processor(pid) - before) / answers * 1e3)
        side.rates.append(answers / (time.perf_counter() - begun))
        pool, before = pools[1], _processor(pid)
        await load(answers)
        side.apart.append((_processor(pid) - before) / answers * 1e3)


async def _until_ready(ask: Any) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if await ask():
                return
        except (httpcore.NetworkError, httpcore.RemoteProtocolError):
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("the server did not answer")


def _processor(pid: int) -> float:
    """Seconds of processor time of a process and its children so far."""
    total = 0
    for one in (pid, *children(pid)):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


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
                asyncio.run(_round(side, wanted.answers))
        print(json.dumps({side.name: side.result() for side in sides}, indent=2))
        if wanted.keep:
            title = "processor time of a one-token answer of an engine that computes nothing"
            figures = [figure for side in sides for figure in side.figures()]
            spent = time.monotonic() - begun
            keep("upstreams", "null engine", title, figures, spent, wanted.rounds)


if __name__ == "__main__":
    main()
