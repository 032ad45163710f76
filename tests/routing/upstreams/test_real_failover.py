"""Real engines of two fronts are killed under load.

With `UPSTREAM_VLLM=PYTHON UPSTREAM_MODEL=DIR` vLLM, too.
"""

import asyncio
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.config import AuditConfig, Config, UpstreamConfig
from tests.engines import GREEDY, Running, llama_server, serving, wait_for
from tests.evals.test_gate_simulation import told
from tests.ports import free_port
from tests.routing.upstreams.site import CONNECT_MS, ready, until
from tests.routing.upstreams.test_failover import Front
from tests.smol import ID

KILLS, REQUESTS = int(os.environ.get("ENGINE_KILLS", "20")), 12
BOOT_S = 1_200.0
"""vLLM takes minutes."""
VLLM = os.environ.get("UPSTREAM_VLLM", "")
_VLLM = [
    VLLM, "-m", "vllm.entrypoints.openai.api_server",
    "--model", os.environ.get("UPSTREAM_MODEL", ""),
    "--served-model-name", ID, "--max-model-len", "1024", "--max-num-seqs", "2",
    "--enforce-eager", "--dtype", "bfloat16", "--host", "127.0.0.1", "--port",
]  # fmt: skip
_QUIET = {
    "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1",
    "VLLM_HOST_IP": "127.0.0.1", "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}  # fmt: skip

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(3_600)]


class Session(Running):
    """An engine and what it started."""

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Engine:
    """One that is started again on its port."""

    upstream: str
    begin: Callable[[], Running]

    def start(self) -> None:
        self.running = self.begin()


@contextmanager
def engines(root: Path, model: Path) -> Iterator[tuple[Config, list[Engine]]]:
    """Two of each kind, and the configuration of a front."""
    ports = [free_port() for _ in range(6)]
    data, secret = serving(root, model, f"port = {ports[2]}", "localhost")
    twin = shutil.copytree(data, root / "twin")
    text = (twin / "appliance.toml").read_text()
    (twin / "appliance.toml").write_text(text.replace(str(ports[2]), str(ports[3])))
    (root / "key").write_text(secret)
    ca = data / "tls" / "ca.pem"
    with ExitStack() as stack:

        def begun(url: str, path: str, *command: str) -> Running:
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, **_QUIET},
            )  # fmt: skip
            running = Session(url, process)
            stack.callback(running.kill)
            wait_for(running, path, ca, BOOT_S)
            return running

        def stock(port: int) -> Running:
            return stack.enter_context(llama_server(model, port=port))

        def other(place: Path, port: int) -> Running:
            serve = (sys.executable, "-m", "appliance", "serve", "--data", str(place))
            return begun(f"https://localhost:{port}", "/readyz", *serve)

        def vllm(port: int) -> Running:
            return begun(f"http://127.0.0.1:{port}", "/health", *_VLLM, str(port))

        found = [
            Engine("llama-server", functools.partial(stock, ports[0])),
            Engine("llama-server", functools.partial(stock, ports[1])),
            Engine("appliance", functools.partial(other, data, ports[2])),
            Engine("appliance", functools.partial(other, twin, ports[3])),
        ]
        if VLLM:
            found += [Engine("vllm", functools.partial(vllm, port)) for port in ports[4:]]
        for one in found:
            one.start()
        secrets: dict[str, Any] = {"appliance": {"ca": str(ca), "api_key": str(root / "key")}}
        upstreams = {
            kind: UpstreamConfig(
                kind, tuple(one.running.url for one in found if one.upstream == kind), ID,
                n_ctx=512, slots=2, connect_ms=CONNECT_MS, probe_seconds=2,
                **secrets.get(kind, {}),
            )
            for kind in sorted({one.upstream for one in found})
        }  # fmt: skip
        yield Config(audit=AuditConfig(ballast_mib=0), upstreams=upstreams), found


async def test_real_engines_are_killed(tmp_path: Path, default_model_path: Path) -> None:
    async with AsyncExitStack() as stack:
        wanted, found = stack.enter_context(engines(tmp_path, default_model_path))
        fronts = [
            Front(name, await stack.enter_async_context(ready(tmp_path / name, wanted)))
            for name in ("front0", "front1")
        ]
        probing = [asyncio.create_task(front.services.upstreams.run()) for front in fronts]
        for number, victim in zip(range(KILLS), itertools.cycle(found), strict=False):
            known = [front.services.upstreams.get(victim.upstream) for front in fronts]
            hosts = [one.host(victim.running.url) for one in known]
            await until(lambda known=known: all(h.usable for one in known for h in one.hosts))  # type: ignore[misc]
            asks = [
                asyncio.create_task(
                    front.under_load(
                        f"{victim.upstream}-{number}", REQUESTS, None,
                        model=victim.upstream, max_tokens=12, sampling=GREEDY,
                    )
                )
                for front in fronts
            ]  # fmt: skip
            over = 2 * REQUESTS * number + 4 * (number // len(found) % 3)  # sooner or later

            def due(over: int = over, hosts: Any = hosts, asks: Any = asks) -> bool:
                asked = sum(len(front.ended) for front in fronts) >= over
                running = any(host.health.running for host in hosts)
                return (asked and running) or all(one.done() for one in asks)

            await until(due)
            victim.running.kill()
            await asyncio.gather(*asks)
            if number + 1 < KILLS:
                await asyncio.to_thread(victim.start)
        for task in probing:
            task.cancel()
        again, codes = 0, Counter[str]()
        for front in fronts:
            tries = front.tries({"upstream_lost", "upstream_unavailable", "upstream_invalid"})
            again += sum(len(sent) > 1 for sent, _ in tries.values())
            codes += Counter(front.ended.values())
        assert again, "no request was begun again"
        told(f"{KILLS} kills of {len(found)} engines: {dict(codes)}, {again} begun again")
