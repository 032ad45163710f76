"""The admin app as a whole."""

import httpx
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.app import Services


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/v1/models", "/healthz"])
async def test_nothing_but_the_admin_routes_is_served(services: Services, path: str) -> None:
    transport = httpx.ASGITransport(create_admin_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_every_answer_names_the_profile(services: Services) -> None:
    transport = httpx.ASGITransport(create_admin_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.get("/admin/status")
    assert answer.headers["x-appliance-profile"] == "lab"
