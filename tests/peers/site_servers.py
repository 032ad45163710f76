"""Servers of one site as processes, over TLS with a CA each, and commands beside them."""

import contextlib
import datetime
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from appliance.app import Services, open_services
from tests.peers.site_members import made_site, member_of
from tests.smol import SMALL

CONFIG = """
[server]
host = "127.0.0.1"
port = {port}
[tls]
enabled = true
[engine]
threads = 1
[audit]
ballast_mib = 0
"""
PEER = """
[peers.{name}]
url = "https://localhost:{port}"
log_key = "{log}"
witness_key = "{witness}"
ca = "tls/{name}.pem"
"""
PATIENCE_S = 60.0


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@dataclass
class SiteServer:
    name: str
    data: Path
    port: int
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        command = [sys.executable, "-m", "appliance", "serve", "--data", str(self.data)]
        log = (self.data.parent / "log").open("a")
        with log:
            self.process = subprocess.Popen(command, stderr=log, text=True)
        until(self.listens)

    def listens(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return (self.data.parent / "log").read_text()

    def command(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "appliance", *arguments, "--json"]
        done = subprocess.run(
            [*command, "--data", str(self.data)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def admits(self, secret: str) -> bool:
        url = f"https://localhost:{self.port}/v1/models"
        head = {"authorization": f"Bearer {secret}"}
        return httpx.get(url, headers=head, verify=self.trust, timeout=30).status_code == 200

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
    **rule: object,
) -> Iterator[dict[str, SiteServer]]:
    """Running servers, each a peer of each.

    Args:
        prepare: called with each before it starts.
    """
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    before = now - datetime.timedelta(minutes=1)
    _, sites = made_site(root, names, before, ["localhost"], **rule)
    found = {name: SiteServer(name, made.data, free()) for name, made in sites.items()}
    keys = {}
    for name, one in found.items():
        with open_services(one.data, config=SMALL) as services:
            witness = services.ring.witness.key.encode()
            prepare(name, services)
        keys[name] = member_of(name, one.data).log_key, witness
    for one in found.values():
        text = CONFIG.format(port=one.port)
        for other in found.values():
            if other is not one:
                log, witness = keys[other.name]
                text += PEER.format(name=other.name, port=other.port, log=log, witness=witness)
                shutil.copyfile(other.ca, one.data / "tls" / f"{other.name}.pem")
        (one.data / "appliance.toml").write_text(text)
    try:
        for one in found.values():
            one.start()
        yield found
    finally:
        for one in found.values():
            if one.process is not None and one.process.poll() is None:
                one.process.terminate()
                one.process.wait(PATIENCE_S)
