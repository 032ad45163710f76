"""A front host and two engine hosts, each in a network namespace of its own, joined by cables:

    unshare -n -p -f --kill-child --mount-proc python -m tests.routing.upstreams.apart \\
        ROOT MODEL PORT

It is the front host, and the first process of a namespace of processes. It prints its observations
as JSON. Namespaces have no names, so that none outlives its processes. PORT is one of loopback that
something outside listens on.
"""

import asyncio
import errno
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.app import Services
from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.errors import ApplianceError
from tests.engines import GREEDY, Running, serving, wait_for
from tests.routing.upstreams.site import BIG, all_hops, caller, chat, ready, until
from tests.smol import ID

PORT = 8443
_OTHERS = ("192.0.2.1", "198.51.100.7", "10.87.3.2")
"""Addresses that no host here has; the first two are kept for documentation (RFC 5737)."""


@dataclass
class Far:
    number: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"https://{address(self.number)}:{PORT}"

    def cable(self, state: str) -> None:
        """Pull it out (`down`) or put it in (`up`), at the engine."""
        self._run("ip", "link", "set", f"engine{self.number}", state)

    def plug(self) -> None:
        """Put it in, and wait until it carries: Linux may lose what is sent in the first second."""
        self.cable("up")
        while reached(address(self.number)):
            time.sleep(0.05)

    def join(self) -> None:
        one, other = f"front{self.number}", f"engine{self.number}"
        ends = "type", "veth", "peer", "name", other, "netns", str(self.process.pid)
        _run("ip", "link", "add", "name", one, *ends)
        _run("ip", "addr", "add", f"{address(self.number, 1)}/30", "dev", one)
        _run("ip", "link", "set", one, "up")
        self._run("ip", "addr", "add", f"{address(self.number)}/30", "dev", other)
        self._run("ip", "link", "set", "lo", "up")
        self.cable("up")
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.close()
        relay = sys.executable, "-m", "tests.routing.upstreams.relay"
        subprocess.Popen([*self._inside, *relay, address(self.number), str(PORT)])

    @property
    def _inside(self) -> tuple[str, ...]:
        return "nsenter", "-t", str(self.process.pid), "-n"

    def _run(self, *command: str) -> None:
        _run(*self._inside, *command)


def address(number: int, end: int = 2) -> str:
    return f"10.87.{number}.{end}"


def far(number: int, data: Path) -> Far:
    begin = "unshare", "-n", "sh", "-c", 'read _ && exec "$@"', "sh"
    serve = sys.executable, "-m", "appliance", "serve", "--data", data
    with (data.parent / f"engine{number}.log").open("wb") as log:
        process = subprocess.Popen(
            [*begin, *serve], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        )
    while namespace(process.pid) == namespace():
        time.sleep(0.01)
    made = Far(number, process)
    made.join()
    return made


def namespace(process: int | str = "self") -> str:
    return str(Path(f"/proc/{process}/ns/net").readlink())


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


async def ended(
    services: Services, name: str, first: Callable[[], None] = lambda: None, **more: Any
) -> dict[str, Any]:
    """End of a request, and its hops.

    Args:
        first: called at the first piece of the answer.
    """
    who, text, code = caller(name), "", ""
    given = {"max_tokens": 6, "sampling": GREEDY, **more}
    generation = await services.inference.begin(who, chat("Name a colour.", **given))
    try:
        async for piece in generation:
            if not text and piece.text:
                first()
            text += piece.text
    except ApplianceError as error:
        code = error.code
    await generation.finished()
    hops = [hop for hop in all_hops(services) if hop["request_id"] == who.request_id]
    shown = [[hop["host"], hop["event"], hop.get("code", "")] for hop in hops]
    return {"text": text, "code": code, "hops": shown}


async def scenes(services: Services, hosts: dict[str, Far]) -> dict[str, Any]:
    found: dict[str, Any] = {"crossed": await ended(services, "crossed")}
    upstream = services.upstreams.get(BIG)
    near = upstream.host(found["crossed"]["hops"][0][0])
    (other,) = (host for host in upstream.hosts if host is not near)
    cable, plug = hosts[near.url].cable, hosts[near.url].plug
    cable("down")
    found["elsewhere"] = await ended(services, "elsewhere")
    plug()
    await services.upstreams.probe("uid:0", BIG)
    await services.upstreams.drain("uid:0", BIG, other.url, drained=True)
    long = {"max_tokens": 900, "ignore_eos": True}
    found["cut"] = await ended(services, "cut", lambda: cable("down"), **long)
    found["nowhere"] = await ended(services, "nowhere")
    found["problem"] = near.health.problem
    plug()
    probing = asyncio.create_task(services.upstreams.run())
    await until(lambda: near.usable)
    probing.cancel()
    found["again"] = await ended(services, "again")
    return found


def reached(where: str, port: int = PORT) -> str:
    """Why an address cannot be connected to; "" where it can."""
    try:
        socket.create_connection((where, port), timeout=5).close()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return ""


def main(root: Path, model: Path, port: int) -> dict[str, Any]:
    names = address(1), address(2)
    data, secret = serving(root, model, f"port = {PORT}", *names)
    ca, key = data / "tls" / "ca.pem", root / "key"
    key.write_text(secret)
    shutil.copytree(data, root / "two")
    _run("ip", "link", "set", "lo", "up")
    hosts = [far(1, data), far(2, root / "two")]
    for host in hosts:
        wait_for(Running(host.url, host.process), "/readyz", ca)
    upstream = UpstreamConfig(
        "appliance", tuple(host.url for host in hosts), ID, ca=str(ca), api_key=str(key),
        n_ctx=1024, slots=2, connect_ms=3000, idle_seconds=15,
    )  # fmt: skip
    settings = Config(audit=AuditConfig(ballast_mib=0), upstreams={BIG: upstream})

    async def looked() -> dict[str, Any]:
        async with ready(root / "front", settings) as services:
            return await scenes(services, {host.url: host for host in hosts})

    found = asyncio.run(looked())
    routes = subprocess.run(["ip", "route"], check=True, capture_output=True, text=True).stdout
    return {
        **found,
        "routes": [line.split()[0] for line in routes.splitlines()],
        "reached": {where: reached(where) for where in (*names, *_OTHERS)},
        "outside": reached("127.0.0.1", port),
        "namespaces": [namespace(), *(namespace(host.process.pid) for host in hosts)],
    }


if __name__ == "__main__":
    told = main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(told))
