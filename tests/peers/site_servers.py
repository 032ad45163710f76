"""Servers of one site as processes, over TLS with a CA each, HAProxy, and commands beside them."""

import contextlib
import datetime
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from appliance.app import Services, open_services
from tests.cli.conftest import Done, run_command
from tests.conftest import CHECKOUT
from tests.peers.site_members import made_site, member_of
from tests.ports import free_port
from tests.smol import SMALL

CONFIG = """
[server]
host = "{host}"
port = {port}
[tls]
enabled = true
[engine]
threads = 1
[audit]
ballast_mib = 0
{audit}
"""
PEER = """
[peers.{name}]
url = "https://{host}:{port}"
log_key = "{log}"
witness_key = "{witness}"
ca = "tls/{name}.pem"
"""
PATIENCE_S = 240.0
HAPROXY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
SHIPPED = CHECKOUT / "docs" / "haproxy.cfg"


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


@dataclass(frozen=True)
class Where:
    """Place of an appliance.

    Attributes:
        inside: the command that runs another one there.
        line: the port at which the others reach it; 0 for its own.
    """

    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    inside: tuple[str, ...] = ()
    line: int = 0


@dataclass
class SiteServer:
    """One appliance of the site.

    Attributes:
        null: whether its model computes nothing.
    """

    name: str
    data: Path
    where: Where
    null: bool = False
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        serve = ["appliance", "serve", "--data", str(self.data)]
        if self.null:
            serve = ["benchmarks.ablated", "--no-model", "--port", str(self.port)]
        command = [*self.where.inside, sys.executable, "-m", *serve]
        given = {**os.environ, "APPLIANCE_DATA": str(self.data)}
        with (self.data.parent / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, text=True, env=given, cwd=CHECKOUT
            )
        until(self.listens)

    @property
    def port(self) -> int:
        return self.where.port

    @property
    def url(self) -> str:
        host = self.where.host
        return f"https://{'localhost' if host == '127.0.0.1' else host}:{self.port}"

    def listens(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex((self.where.host, self.port)) == 0

    def end(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return (self.data.parent / "log").read_text()

    def command(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.status == 0, done.err + done.out
        return json.loads(done.out)

    def run(self, *arguments: str) -> Done:
        """Run in this process: a start costs a second, and tests ask until it is so."""
        return run_command(*arguments, "--json", data=self.data)

    def admits(self, secret: str) -> bool:
        """Whether it takes a key."""
        head = {"authorization": f"Bearer {secret}"}
        return (
            httpx.get(
                f"{self.url}/v1/models", headers=head, verify=self.trust, timeout=30
            ).status_code
            == 200
        )

    @property
    def ca(self) -> Path:
        return self.data / "tls" / "ca.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


def _nothing(_name: str, _services: Services) -> None:
    """A site without a model."""


@contextlib.contextmanager
def servers(
    root: Path,
    names: str,
    prepare: Callable[[str, Services], None] = _nothing,
    where: Callable[[str], Where] = lambda name: Where(),
    audit: str = "",
    *,
    null: bool = False,
    **more: Any,
) -> Iterator[dict[str, SiteServer]]:
    """Running servers, each a peer of each.

    Args:
        prepare: called with each before it starts.
        audit: more lines of their [audit].
        more: as of `made_site`.
    """
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    before = now - datetime.timedelta(minutes=1)
    places = {name: where(name) for name in names}
    hosts = sorted({"localhost", *(place.host for place in places.values())})
    _, sites = made_site(root, names, before, hosts, **more)
    found = {name: SiteServer(name, made.data, places[name], null) for name, made in sites.items()}
    keys = {}
    for name, one in found.items():
        with open_services(one.data, config=SMALL) as services:
            witness = services.ring.witness.key.encode()
            prepare(name, services)
        keys[name] = member_of(name, one.data).log_key, witness
    for one in found.values():
        text = CONFIG.format(host=one.where.host, port=one.port, audit=audit)
        for other in found.values():
            if other is not one:
                log, witness = keys[other.name]
                host = other.url.removeprefix("https://").rpartition(":")[0]
                text += PEER.format(
                    name=other.name, host=host, port=other.where.line or other.port, log=log,
                    witness=witness,
                )  # fmt: skip
                shutil.copyfile(other.ca, one.data / "tls" / f"{other.name}.pem")
        (one.data / "appliance.toml").write_text(text)
    try:
        for one in found.values():
            one.start()
        yield found
    finally:
        left = [one.process for one in found.values() if one.process is not None]
        for process in left:
            process.terminate()
        for process in left:
            process.wait(PATIENCE_S)


def configured(members: list[SiteServer], port: int, at: Path) -> str:
    """The file that is shipped, with the addresses of these."""
    text = SHIPPED.read_text()
    tls = members[0].data / "tls"
    (at / "site.pem").write_bytes(
        (tls / "server.pem").read_bytes() + (tls / "server.key").read_bytes()
    )
    (at / "ca.pem").write_bytes(b"".join(one.ca.read_bytes() for one in members))
    text = text.replace("0.0.0.0:8443", f"127.0.0.1:{port}")
    text = text.replace("/etc/haproxy/site.pem", str(at / "site.pem"))
    text = text.replace("/etc/haproxy/site-ca.pem", str(at / "ca.pem"))
    line = re.search(r"(?m)^  server north .*\n", text)
    assert line is not None
    lines = (
        line[0]
        .replace(
            "server north north.example:8443", f"server {one.name} {one.where.host}:{one.port}"
        )
        .replace("north.example", "localhost")
        for one in members
    )
    text, count = re.subn(r"(?m)^  server .*\n", "", text)
    assert count == 2
    return text + "".join(lines)


def of_connections(members: list[SiteServer], port: int, at: Path) -> str:
    """A balancer that passes TLS on, with the certificates of clients."""
    times = "timeout connect 1m\ntimeout client 1m\ntimeout server 1m\n"
    lines = (f"server {one.name} {one.where.host}:{one.port}\n" for one in members)
    begin = f"listen apps\nmode tcp\nbind 127.0.0.1:{port}\nbalance roundrobin\n"
    return begin + times + "".join(lines)


@contextlib.contextmanager
def balanced(
    members: list[SiteServer],
    at: Path,
    file: Callable[[list[SiteServer], int, Path], str] = configured,
) -> Iterator[str]:
    """HAProxy before them; its address."""
    assert HAPROXY is not None
    port = free_port()
    (at / "haproxy.cfg").write_text(file(members, port, at))
    checked = subprocess.run(
        [HAPROXY, "-c", "-f", at / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with subprocess.Popen([HAPROXY, "-db", "-f", at / "haproxy.cfg"]) as process:
        try:
            until(listens)
            yield f"https://localhost:{port}"
        finally:
            process.terminate()
