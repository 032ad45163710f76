"""The LAN app with `server.mcp`, and a collection of which the key may read a part."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services
from appliance.auth.rejected import RejectedCounts
from appliance.retrieval.collection import Settings
from tests.api.conftest import Lan, keys_end_here
from tests.api.fake import FakeInference, FakeSupervisor, with_fakes
from tests.parts import having
from tests.retrieval.shelf import incoming

PAGE = "https://intranet.example"


@pytest.fixture
async def lan(real_services: Services) -> AsyncIterator[Lan]:
    inference, supervisor = FakeInference(real_services.audit), FakeSupervisor(["ready"])
    services = with_fakes(real_services, inference, supervisor)
    server = replace(services.config.server, mcp=True, cors_origins=(PAGE,))
    services = having(
        services,
        config=replace(services.config, server=server),
        rejected=RejectedCounts(services.clock),  # of a minute without sources of other tests
    )
    app = create_lan_app(services)
    transport = httpx.ASGITransport(app)
    with keys_end_here(services.keys):
        _, secret = services.keys.create("mcp app")
        headers = {"authorization": f"Bearer {secret}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)
        async with client:
            yield Lan(app, services, inference, supervisor, secret, client)


@pytest.fixture
def manuals(lan: Lan) -> Iterator[None]:
    library = lan.services.retrieval.library
    library.create("manuals", Settings())
    key = lan.services.keys.authenticate(lan.secret).key_id
    for name, who in (("mine.txt", f"key:{key}"), ("theirs.txt", "key:other")):
        document = incoming(name, f"The pump of {name} leaks.", access=[who], embedded=False)
        library.get("manuals").collection.put(document, "p", 1)
    yield
    library.drop("manuals")
