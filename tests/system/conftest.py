"""`appliance serve` as a process of its own, with the default model approved by two people."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from appliance.app import Services, open_services
from tests.smol import ID, make_data

CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 512
slots = 4
reproducible = true
"""


@dataclass
class Server:
    """A server process; start it, talk to it, end it, start it again.

    Attributes:
        program: what Python runs as the server; tests spoil it.
        python: which runs it, and the commands.
    """

    data: Path
    secrets: tuple[str, str]
    program: tuple[str, ...] = ("-m", "appliance")
    python: str = sys.executable
    process: "subprocess.Popen[str]" = field(init=False)
    base_url: str = field(init=False)
    log: str = field(init=False, default="")
    _reader: threading.Thread = field(init=False)

    def start(self, until: str = f"serving {ID}") -> None:
        """Start, and wait until the log says so; by default that the model can answer."""
        command = [self.python, *self.program, "serve", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data)], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if match := re.search(r"listening on (http://\S+)", line):
                self.base_url = f"{match[1]}/v1"
            if until in line:
                break
        else:
            raise RuntimeError("the server ended")
        self._reader = threading.Thread(
            target=self._read_on, args=[self.process.stderr], daemon=True
        )
        self._reader.start()

    def _read_on(self, errors: IO[str]) -> None:
        """The server must never wait for somebody to read what it logs."""
        with errors:
            self.log = errors.read()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(120)
        self._reader.join()
        return status

    def client(self, app: int = 0) -> httpx.Client:
        key = {"authorization": f"Bearer {self.secrets[app]}"}
        return httpx.Client(base_url=self.base_url, headers=key, timeout=120)

    def command(self, *arguments: str, data: str = "--data") -> Any:
        command = [self.python, "-m", "appliance", *arguments, "--json"]
        done = subprocess.run(
            [*command, data, str(self.data)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def worker(self) -> dict[str, Any]:
        (worker,) = self.command("status")["workers"]
        assert isinstance(worker, dict)
        return worker

    def idle(self) -> bool:
        worker = self.worker()
        return not (worker["running"] or worker["queued"] or worker["kv_used"])


def _nothing(_services: Services) -> None:
    """The model is all that there is."""


@contextlib.contextmanager
def serving(
    directory: Path,
    model: Path,
    config: str,
    prepare: Callable[[Services], object] = _nothing,
    program: tuple[str, ...] = ("-m", "appliance"),
) -> Iterator[Server]:
    """Restarted if a test ended it; `prepare` gets the parts before."""
    data = make_data(directory, model)
    with (data / "appliance.toml").open("a") as file:
        file.write(config)
    with open_services(data) as services:
        prepare(services)
        secrets = tuple(services.keys.create(name)[1] for name in ("one", "two"))
    server = Server(data, (secrets[0], secrets[1]), program)
    try:
        server.start()
        yield server
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.process.kill()  # a test that failed leaves none behind


@pytest.fixture(scope="session")
def live_server(
    tmp_path_factory: pytest.TempPathFactory, default_model_path: Path
) -> Iterator[Server]:
    """In reproducible mode."""
    with serving(tmp_path_factory.mktemp("system"), default_model_path, CONFIG) as server:
        yield server


def pytest_itemcollected(item: pytest.Item) -> None:
    """They run the whole product."""
    item.add_marker("model")
