"""The front host's limit: one-token answers a second from engines that compute nothing, log on.

Two engines, the server and this client share the machine, so that the processor time of the server
for an answer says more than the rate: its inverse is what one core can do.

usage: python -m benchmarks.upstreams [SECONDS]
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpcore

from appliance.app import initialise, open_services
from tests.engines import free_port
from tests.routing.upstreams.site import BIG, approve

_CLIENTS: Final = 32
_OK: Final = 200


async def measured(seconds: float, root: Path) -> dict[str, Any]:
    """Start everything, ask for so many seconds, end everything."""
    data, port = root / "data", free_port()
    initialise(data, "lab")
    engines = [await _started("-m", "benchmarks.null_upstream") for _ in range(2)]
    try:
        urls = [f"http://127.0.0.1:{int(await one.stdout.readline())}" for one in engines]
        with (data / "appliance.toml").open("w") as file:
            file.write(f"[server]\nport = {port}\n[engine]\nmax_queued = 256\n")
            file.write('[upstreams.big]\nkind = "vllm"\nmodel = "null"\nslots = 32\n')
            file.write(f"urls = {json.dumps(urls)}\n")
        with open_services(data) as services:
            await services.upstreams.learn("uid:0", BIG)
            approve(services)
            secret = services.keys.create("bench")[1]
            await services.upstreams.close()
        server = await _started("-m", "appliance", "serve", "--data", str(data))
        try:
            return await _load(f"http://127.0.0.1:{port}", secret, seconds, server.pid)
        finally:
            server.terminate()
            await server.wait()
    finally:
        for one in engines:
            one.kill()
            await one.wait()


async def _started(*arguments: str) -> Any:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _load(url: str, secret: str, seconds: float, pid: int) -> dict[str, Any]:
    body = json.dumps({"model": BIG, "prompt": "Is it?", "max_tokens": 1}).encode()
    headers = [
        ("host", "bench"), ("authorization", f"Bearer {secret}"),
        ("content-type", "application/json"), ("content-length", str(len(body))),
    ]  # fmt: skip
    times: list[float] = []
    failed = 0
    async with httpcore.AsyncConnectionPool(max_connections=_CLIENTS) as pool:

        async def ask() -> int:
            path = f"{url}/v1/completions"
            answer = await pool.request("POST", path, headers=headers, content=body)
            return answer.status

        async def client(end: float) -> None:
            nonlocal failed
            while (begun := time.perf_counter()) < end:
                if await ask() == _OK:
                    times.append(time.perf_counter() - begun)
                else:
                    failed += 1

        await _until_ready(ask)
        await asyncio.gather(*(client(time.perf_counter() + 1.0) for _ in range(_CLIENTS)))
        times.clear()
        before, begun = _processor(pid), time.perf_counter()
        await asyncio.gather(*(client(begun + seconds) for _ in range(_CLIENTS)))
        spent, wall = _processor(pid) - before, time.perf_counter() - begun
    times.sort()
    return {
        "answers_s": round(len(times) / wall, 1),
        "failed": failed,
        "server_ms_per_answer": round(spent / len(times) * 1e3, 3),
        "answers_s_of_one_core": round(len(times) / spent, 1),
        "p50_ms": round(times[len(times) // 2] * 1e3, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1e3, 1),
    }


async def _until_ready(ask: Any) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if await ask() == _OK:
                return
        except httpcore.ConnectError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not answer")


def _processor(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print one JSON document."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory(prefix="upstreams-") as root:
        found = asyncio.run(measured(seconds, Path(root)))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
