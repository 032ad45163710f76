"""The LAN app on real keys and a real audit log, with a scripted engine."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.auth.keys import KeyStore
from appliance.config import Config, ServerConfig
from tests.api.fake import CARD, FakeInference, FakeSupervisor, with_fakes

MAX_BODY = 200_000  # more than a body that is read at once may have


@dataclass
class Lan:
    app: FastAPI
    services: Services
    inference: FakeInference
    supervisor: FakeSupervisor
    secret: str
    client: httpx.AsyncClient

    def anonymous(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)


@pytest.fixture(scope="session")
def real_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data = tmp_path_factory.mktemp("lan") / "data"
    initialise(data, "lab")
    with open_services(data, config=Config(server=ServerConfig(max_body_bytes=MAX_BODY))) as made:
        yield made


@contextmanager
def keys_end_here(keys: KeyStore) -> Iterator[None]:
    before = {key.id for key in keys.list()}
    yield
    for key in keys.list():
        if key.id not in before and key.revoked_us is None:
            keys.revoke(key.id)


@pytest.fixture
async def lan(real_services: Services) -> AsyncIterator[Lan]:
    inference, supervisor = FakeInference(real_services.audit), FakeSupervisor(["ready"])
    services = with_fakes(real_services, inference, supervisor)
    app = create_lan_app(services)
    transport = httpx.ASGITransport(app)
    with keys_end_here(services.keys):
        _, secret = services.keys.create("test app")
        headers = {"authorization": f"Bearer {secret}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)
        async with client:
            yield Lan(app, services, inference, supervisor, secret, client)


@pytest.fixture
def chat_body() -> dict[str, object]:
    return {"model": CARD.id, "messages": [{"role": "user", "content": "Hi"}]}
