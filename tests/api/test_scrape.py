"""The port of Prometheus opens to a token or a verified certificate, and has one path."""

import httpx
import pytest

from appliance.api.scrape import ScrapeApp
from appliance.app import Services


async def answer(
    real_services: Services, path: str = "/metrics", method: str = "GET", **headers: str
) -> int:
    transport = httpx.ASGITransport(ScrapeApp(real_services, "s3cret"))
    async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
        return (await client.request(method, path, headers=headers)).status_code


@pytest.mark.parametrize(
    "said", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret"]
)
async def test_without_the_token_nothing_is_told(real_services: Services, said: str) -> None:
    assert await answer(real_services, authorization=said) == 401
    assert await answer(real_services, "/admin/status", authorization=said) == 401


async def test_with_it_the_metrics_are_told_and_nothing_else(real_services: Services) -> None:
    assert await answer(real_services, authorization="bearer s3cret") == 200
    assert await answer(real_services, "/v1/models", authorization="Bearer s3cret") == 404
    assert await answer(real_services, method="POST", authorization="Bearer s3cret") == 404


async def test_a_port_for_certificates_alone_takes_no_empty_token(real_services: Services) -> None:
    transport = httpx.ASGITransport(ScrapeApp(real_services, ""))
    async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
        answer = await client.get("/metrics", headers={"authorization": "Bearer "})
    assert answer.status_code == 401
