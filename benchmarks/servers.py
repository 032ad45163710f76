"""Starting and ending the two servers; README.md says how they run.

Rules: a server ends with its block. Both have answered one small request before a load.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.loads import MODEL
from benchmarks.machine import CHECKOUT, children

CELLS: Final = 16384
SLOTS: Final = 8
_START_S: Final = 120.0


class BenchError(Exception):
    """Something under test did not do what a measurement needs."""


@dataclass
class Server:
    """A server that answers.

    Attributes:
        command: with file names in place of paths.
    """

    side: str
    port: int
    key: str
    process: subprocess.Popen[bytes]
    command: str
    keys: list[str] = field(default_factory=list)
    data: Path = Path()

    def pids(self) -> list[int]:
        return [self.process.pid, *children(self.process.pid)]


@dataclass(frozen=True)
class Lab:
    """A data directory with one approved model and keys for the apps."""

    data: Path
    keys: tuple[str, ...]


def prepare_lab(root: Path, gguf: Path, *, keys: int = 2, slots: int = SLOTS) -> Lab:
    """A model approved, and API keys."""
    data = root / "data"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    appliance(data, "init", "--profile", "lab")
    add_artifact(data, MODEL, [gguf])
    secrets = [appliance(data, "key", "create", f"app-{n}")["secret"] for n in range(keys)]
    with (data / "appliance.toml").open("a") as config:
        config.write(f"\n[models.default]\nn_ctx = {CELLS}\nslots = {slots}\n")
    return Lab(data, tuple(secrets))


def add_artifact(data: Path, name: str, files: Iterable[Path]) -> None:
    """As a model or an adapter with the id `name`."""
    place, lab = data.parent / "artifact", data / "keys" / "lab"
    place.mkdir()
    for file in files:
        shutil.copyfile(file, place / file.name)
    appliance(data, "model", "sign", str(place), "--key", str(lab / "publisher.pem"))
    appliance(data, "model", "import", str(place), "--id", name)
    for person in ("approver-1", "approver-2"):
        appliance(
            data,
            *("model", "approve", name, "--as", person, "--key", str(lab / f"{person}.pem")),
            *("--meaning", "measured in the lab"),
        )
    shutil.rmtree(place)


def appliance(data: Path, *arguments: str) -> Any:
    """A command's output, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments, "--json"],
        env={"APPLIANCE_DATA": str(data), "PATH": os.defpath},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr + done.stdout).decode()[-800:]
        raise BenchError(
            f"appliance {' '.join(arguments[:2])} ended with {done.returncode}: {said}"
        )
    return json.loads(done.stdout or b"null")


@contextlib.contextmanager
def ours(lab: Lab, program: tuple[str, ...] = ("appliance", "serve")) -> Iterator[Server]:
    """Our server; `program` differs for P6 only."""
    port = free_port()
    arguments = [*program, "--port", str(port)]
    command = [sys.executable, "-m", *arguments]
    shown = "python -m " + " ".join(arguments).replace(str(port), "PORT")
    env = {"APPLIANCE_DATA": str(lab.data), "PATH": os.defpath}
    with _process(command, env) as process:
        server = Server("ours", port, lab.keys[0], process, shown, list(lab.keys), lab.data)
        wait_until_ready(server, "/readyz")
        yield server


def peer_arguments(gguf: Path, port: int) -> list[str]:
    """llama-server's command."""
    cores = str(len(os.sched_getaffinity(0)))
    return [
        *("-m", str(gguf), "-np", str(SLOTS), "-c", str(CELLS), "-kvu", "-t", cores),
        *("--no-webui", "--host", "127.0.0.1", "--port", str(port)),
    ]


@contextlib.contextmanager
def peer(binary: Path, gguf: Path, *, pause: float = 0.05) -> Iterator[Server]:
    """llama-server, asked every `pause` seconds whether it is ready."""
    port = free_port()
    shown = " ".join([binary.name, *peer_arguments(Path(gguf.name), port)])
    command = [str(binary), *peer_arguments(gguf, port)]
    with _process(command, {"PATH": os.defpath}) as process:
        build = f"{shown.replace(str(port), 'PORT')} ({binary.parent.name})"
        server = Server("peer", port, "none", process, build)
        wait_until_ready(server, "/health", pause=pause)
        yield server


@contextlib.contextmanager
def foreign(
    side: str,
    command: list[str],
    port: int,
    shown: str,
    env: dict[str, str],
    seconds: float = _START_S,
) -> Iterator[Server]:
    """Another engine, which says on /health that it is ready; `seconds` for its start."""
    with _process(command, env) as process:
        server = Server(side, port, "none", process, shown)
        wait_until_ready(server, "/health", seconds=seconds)
        yield server


@contextlib.contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, env=env, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=errors
        ) as process,
    ):
        try:
            yield process
        except BenchError as error:
            if process.poll():
                errors.seek(0)
                error.add_note(errors.read()[-2000:].decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until_ready(
    server: Server, path: str, *, pause: float = 0.05, seconds: float = _START_S
) -> None:
    """Ask until the answer is 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise BenchError(f"{server.command} ended with {server.process.returncode}")
        if get_status(server.port, path) == 200:
            return
        time.sleep(pause)
    raise BenchError(f"{server.command} is not ready after {_START_S:g} s")


def get_status(port: int, path: str) -> int:
    """The status of one GET; 0 when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            head = connection.recv(12)
    except OSError:
        return 0
    return int(head[9:12]) if head[9:12].isdigit() else 0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
