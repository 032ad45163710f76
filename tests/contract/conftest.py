"""Servers for real clients: HTTP on loopback, real keys, a real log, a scripted engine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import uvicorn

from appliance.api.app import create_lan_app
from appliance.runtime import Services, initialise, open_services
from tests.api.fake import FakeInference, FakeSupervisor, with_fakes


@dataclass
class Scripted:
    """A running server whose engine says what a test tells it to."""

    base_url: str
    api_key: str
    inference: FakeInference
    services: Services


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        """Start, then tell."""
        await super().startup()
        self.listening.set()


@contextmanager
def serving(services: Services) -> Iterator[str]:
    """The LAN app on a free port of loopback; yields its address."""
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
    """A lab data directory with the default limits."""
    data = tmp_path_factory.mktemp("contract") / "data"
    initialise(data, "lab")
    with open_services(data) as made:
        yield made


@pytest.fixture
def scripted(contract_services: Services) -> Iterator[Scripted]:
    """A fresh server."""
    inference = FakeInference(contract_services.audit)
    services = with_fakes(contract_services, inference, FakeSupervisor(["ready"]))
    key, secret = services.keys.create("contract")
    with serving(services) as url:
        yield Scripted(f"{url}/v1", secret, inference, services)
    services.keys.revoke(key.id)
