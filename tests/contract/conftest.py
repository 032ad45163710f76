"""Servers for real clients, on loopback with real keys and a real log.

`scripted` has a scripted engine, for what a real one cannot do on demand; `live_server` is
`appliance serve` with the default model.
"""

import hashlib
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import pytest
import uvicorn

from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.datasets.directory import write
from installer.bundle.cache import cache_root, exclusive
from installer.bundle.locks import LOCKS
from tests import oracle
from tests.api.admin.lab import APPROVERS, LabData, make_lab
from tests.api.fake import FakeInference, FakeSupervisor, with_fakes
from tests.cli.conftest import Done, run_command
from tests.conftest import need_tool, unavailable
from tests.contract.seen import NO_CLIENT, SeenClients
from tests.contract.seen import write as write_seen
from tests.datasets import examples
from tests.evals import orders
from tests.ports import free_port
from tests.routing import world

# They run in an environment of their own: test_clients.py.
collect_ignore = ["clients"]
EMBEDDER, RERANKER, TASK = "minilm", "ranker", "part-name"
CITING, SMALL, ROUTE = "manual-answers", "part-name-small", "part-route"
"""A task that cites the collection, one without a model, and a route from it to `TASK`."""
COLLECTION = "manuals"  # as in the document's example
LABELS = "notices"
ORIGIN = "https://intranet.example"  # of a page that may read answers
Record: TypeAlias = Callable[[str, SeenClients], None]
NODE = Path(__file__).parent / "node"
NODE_LOCK = NODE / "package-lock.json"


@dataclass
class Scripted:
    base_url: str
    api_key: str
    inference: FakeInference
    services: Services


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


@contextmanager
def serving(services: Services) -> Iterator[str]:
    config = uvicorn.Config(
        create_lan_app(services), host="127.0.0.1", port=0, log_config=None, lifespan="off",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        if not server.listening.wait(30):
            raise RuntimeError("the server did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def contract_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data = tmp_path_factory.mktemp("contract") / "data"
    initialise(data, "lab")
    with open_services(data) as made:
        yield made


@pytest.fixture
def scripted(contract_services: Services) -> Iterator[Scripted]:
    inference = FakeInference(contract_services.audit)
    services = with_fakes(contract_services, inference, FakeSupervisor(["ready"]))
    key, secret = services.keys.create("contract")
    with serving(services) as url:
        yield Scripted(f"{url}/v1", secret, inference, services)
    services.keys.revoke(key.id)


@dataclass
class Live:
    """A server process. `program` is what Python runs, `models` are those that it serves."""

    api_key: str
    other_key: str
    model: str
    run: Callable[..., Done]
    data: Path
    program: tuple[str, ...]
    models: frozenset[str]
    _port: int = field(default_factory=free_port)
    process: "subprocess.Popen[str]" = field(init=False)
    base_url: str = field(init=False)
    _reader: threading.Thread = field(init=False)

    @property
    def running(self) -> int:
        (worker,) = self.run("status", "--json").document["workers"]
        return int(worker["running"]) + int(worker["queued"])

    def start(self) -> None:
        """Start it; all its models serve when this returns."""
        command = [sys.executable, *self.program, "serve", "--port", str(self._port)]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data)], stderr=subprocess.PIPE, text=True
        )
        try:
            self.base_url = f"{_address(self.process, set(self.models))}/v1"
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self._reader = threading.Thread(target=_read_on, args=[self.process], daemon=True)
        self._reader.start()  # else a pipe full of log lines would stop the server

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(180)  # it lets answers end first
        self._reader.join(60)

    @contextmanager
    def restarting(self) -> Iterator[str]:
        """A URL that kills the server, and answers when it serves again at the same address."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.end(signal.SIGKILL)
                server.start()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as http:
            thread = threading.Thread(target=http.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{http.server_port}"
            finally:
                http.shutdown()
                thread.join()


@pytest.fixture(scope="session")
def live_server(
    tmp_path_factory: pytest.TempPathFactory, default_model_path: Path
) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live"), default_model_path) as server:
        yield server


@pytest.fixture(
    scope="session",
    params=["default_model_path", pytest.param("small_qwen_path", marks=pytest.mark.slow)],
    ids=["SmolLM2", "Qwen"],
)
def generating_path(request: pytest.FixtureRequest) -> Path:
    """The model that most clients ask."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def three_models(
    tmp_path_factory: pytest.TempPathFactory,
    generating_path: Path,
    embedder_path: Path,
    reranker_path: Path,
) -> Iterator[Live]:
    """In reproducible mode, with models of each kind, tasks, a route, documents, items to label."""
    config = "\n[engine]\nthreads = 1\n[models.default]\nreproducible = true\nn_ctx = 512\n"
    others = {EMBEDDER: embedder_path, RERANKER: reranker_path}
    directory = tmp_path_factory.mktemp("three")
    listener = f'cors_origins = ["{ORIGIN}"]\nmcp = true\n'
    with live(directory, generating_path, config, others, listener, method=True) as server:
        manual = directory / "manual.md"
        manual.write_text("# Pumps\n\nThe relief valve opens at 12 bar.", "utf-8")
        server.run("collection", "new", COLLECTION)
        server.run("collection", "add", COLLECTION, manual, "--everyone")
        items_to_label(server, directory)
        yield server


def items_to_label(server: Live, directory: Path) -> None:
    """A queue of 300 items that the key and another person label."""
    items = [replace(item, expected=None) for item in examples.orders(300)]
    write(directory / LABELS, examples.dataset(items))
    raters = ("--rater", "key:contract", "--rater", "ben", "--label", "leak", "--label", "noise")
    server.run("label", "new", directory / LABELS, *raters)


@contextmanager
def live(
    directory: Path,
    default_model_path: Path,
    config: str = "",
    others: Mapping[str, Path] = MappingProxyType({}),
    listener: str = "",
    program: tuple[str, ...] = ("-m", "appliance"),
    method: bool = False,
) -> Iterator[Live]:
    """Sign, approve and serve the default model.

    Args:
        config: added to `appliance.toml`.
        listener: added to its table `[server]`.
        program: what Python runs as the server; tests spoil it.
    """
    lab = make_lab(directory)
    file = lab.data / "appliance.toml"
    written = file.read_text(encoding="utf-8")
    assert "\n[server]\n" in written
    file.write_text(written.replace("[server]\n", f"[server]\n{listener}") + config, "utf-8")

    def run(*arguments: str | Path) -> Done:
        done = run_command(*arguments, data=lab.data)
        assert done.status == 0, done.err
        return done

    for model, path in {"smol": default_model_path, **others}.items():
        artifact = lab.data.parent / model
        artifact.mkdir()
        shutil.copyfile(path, artifact / "model.gguf")
        run("model", "sign", artifact, "--key", lab.key("publisher"))
        run("model", "import", artifact)
        for name in APPROVERS:
            key = lab.key(name)
            run("model", "approve", model, "--as", name, "--key", key, "--meaning", "fit")
    if method:
        add_method(lab, run)
    secret, other = (
        run("key", "create", name, "--json").document["secret"] for name in ("contract", "other")
    )
    server = Live(secret, other, "smol", run, lab.data, program, frozenset({"smol", *others}))
    server.start()
    try:
        yield server
    finally:
        server.end(signal.SIGTERM)


def add_method(lab: LabData, run: Callable[..., Done]) -> None:
    def approved(kind: str, name: str, text: str, **files: str) -> str:
        path = orders.write_task(lab.data.parent / name, text, **files)
        if kind == "route":
            (path / "task.toml").rename(path / "route.toml")
        run(kind, "sign", path, "--key", lab.key("publisher"))
        run(kind, "import", path)
        for person in APPROVERS:
            key = lab.key(person)
            run("model", "approve", name, "--as", person, "--key", key, "--meaning", "fit")
        return digest_of(name)

    def digest_of(name: str) -> str:
        return str(run("model", "show", name, "--json").document["digest"])

    smol = f'digest = "{digest_of("smol")}"'
    plain = re.sub(r'digest = "[0-9a-f]+"', smol, orders.TASK)
    large = approved("task", TASK, plain.replace("excavator-system", TASK))
    cited = f'form = "text"\ncollection = "{COLLECTION}"\nquotes = true\n'
    text = re.sub(r"(?s)(?<=\[output\]\n).*?(?=\[gate\])", cited, plain)
    text = "max_tokens = 60\n" + text
    approved("task", CITING, text.replace("excavator-system", CITING))
    fitted = orders.FITTED.replace("excavator-system", SMALL)
    small = approved("task", SMALL, fitted, classifier_json=world.coefficients({**orders.WORDS}))
    text = world.ROUTE.format(more="", small=small, large=large)
    for old, new in ((world.ROUTE_ID, ROUTE), (world.SMALL_ID, SMALL), (world.LARGE_ID, TASK)):
        text = text.replace(f'"{old}"', f'"{new}"')
    approved("route", ROUTE, text)


def _read_on(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for _ in lines:
            pass


def _address(process: "subprocess.Popen[str]", models: set[str]) -> str:
    assert process.stderr is not None
    address, missing = "", set(models)
    for line in process.stderr:
        if match := re.search(r"listening on (http://\S+)", line):
            address = match[1]
        if match := re.search(r"serving (\S+)", line):
            missing.discard(match[1])
            if not missing:
                return address
    raise RuntimeError("the server ended")


@pytest.fixture(scope="session")
def record(
    request: pytest.FixtureRequest, generating_path: Path, default_model_path: Path
) -> Record:
    """Write down a client as it was seen, if `--seen`."""
    also = [] if generating_path == default_model_path else [generating_path.stem]

    def written(name: str, seen: SeenClients) -> None:
        if request.config.getoption("--seen") and name not in NO_CLIENT:
            write_seen(name, SeenClients(seen.clients, seen.passed, also))

    return written


@pytest.fixture(scope="session")
def python() -> Path:
    return oracle.environment(LOCKS / "lock-clients.txt", "--no-deps", "--prefer-binary")


@pytest.fixture(scope="session")
def inspect_python() -> Path:
    return oracle.environment(LOCKS / "lock-inspect.txt", "--no-deps", "--prefer-binary")


@pytest.fixture(scope="session")
def frameworks_python() -> Path:
    """The interpreter that has the clients which want another `pydantic`."""
    return oracle.environment(LOCKS / "lock-frameworks.txt", "--no-deps", "--prefer-binary")


@pytest.fixture(scope="session")
def packages() -> Path:
    return npm_packages(NODE)


def npm_packages(source: Path) -> Path:
    """A directory with `node_modules` as a lock says, kept under the lock's digest."""
    npm = need_tool("npm")
    root = cache_root() / "node"
    lock = (source / "package-lock.json").read_bytes()
    made = root / hashlib.sha256(lock).hexdigest()[:16]
    with exclusive(root / f"{made.name}.lock"):
        if not (made / "complete").is_file():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(source / name, made / name)
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=made, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            if done.returncode:
                unavailable(f"the npm packages cannot be installed: {done.stderr.strip()[-300:]}")
            (made / "complete").touch()
    return made


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("model")
