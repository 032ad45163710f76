"""Pages of named other origins: preflights, marked answers, and nothing for anybody else."""

from collections.abc import AsyncIterator

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.config import Config, ServerConfig, parse_config
from appliance.errors import UsageError
from tests.api.conftest import Lan
from tests.parts import having

PAGE = "https://intranet.example"
CHAT = "/v1/chat/completions"
ASKING = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os,x-evil",
}


@pytest.fixture
async def pages(lan: Lan) -> AsyncIterator[httpx.AsyncClient]:
    server = ServerConfig(cors_origins=(PAGE, "http://[::1]:8000"))
    services = having(lan.services, config=Config(server=server))
    transport = httpx.ASGITransport(create_lan_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
        yield client


@pytest.mark.parametrize("origin", [PAGE, "http://[::1]:8000"])
async def test_a_preflight_needs_no_key(pages: httpx.AsyncClient, origin: str) -> None:
    reply = await pages.options(CHAT, headers={"origin": origin, **ASKING})
    assert reply.status_code == 204 and reply.content == b""
    assert reply.headers["access-control-allow-origin"] == origin
    assert reply.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    names = reply.headers["access-control-allow-headers"].split(", ")
    assert names == ["authorization", "content-type", "x-api-key", "x-stainless-os"]
    assert "Origin" in reply.headers["vary"]
    assert "access-control-allow-credentials" not in reply.headers


async def test_answers_and_refusals_may_be_read(lan: Lan, pages: httpx.AsyncClient) -> None:
    bare = await pages.get("/v1/models", headers={"origin": PAGE})
    known = {"origin": PAGE, "authorization": f"Bearer {lan.secret}"}
    good = await pages.get("/v1/models", headers=known)
    assert (bare.status_code, good.status_code) == (401, 200)
    for reply in (bare, good):
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert "x-appliance-receipt" in reply.headers["access-control-expose-headers"]
        assert reply.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://intranet.example.evil", "http://intranet.example", "null", "*", PAGE + "/"]
)
async def test_an_origin_that_is_not_named_gets_no_mark(
    pages: httpx.AsyncClient, origin: str
) -> None:
    for reply in (
        await pages.options(CHAT, headers={"origin": origin, **ASKING}),
        await pages.get("/v1/models", headers={"origin": origin}),
    ):
        assert reply.status_code == 401
        assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_options_that_are_no_preflight_need_a_key(pages: httpx.AsyncClient) -> None:
    assert (await pages.options(CHAT, headers={"origin": PAGE})).status_code == 401


async def test_without_a_name_in_the_configuration_nothing_is_marked(lan: Lan) -> None:
    reply = await lan.client.get("/v1/models", headers={"origin": PAGE})
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin", ["*", "null", "intranet.example", PAGE + "/", PAGE + "/x", "https://*.example", ""]
)
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(f'[server]\ncors_origins = ["{origin}"]\n')
    assert caught.value.code == "config_invalid" and caught.value.param == "server.cors_origins"


def test_named_origins_are_read() -> None:
    text = f'[server]\ncors_origins = ["{PAGE}", "http://localhost:3000"]\n'
    assert parse_config(text).server.cors_origins == (PAGE, "http://localhost:3000")


async def test_headers_that_sdks_send_are_allowed_and_no_other(pages: httpx.AsyncClient) -> None:
    sent = [
        "openai-beta", "idempotency-key", "x-client-request-id", "user-agent", "anthropic-version",
        "anthropic-dangerous-direct-browser-access", "traceparent",
    ]  # fmt: skip
    asking = {**ASKING, "access-control-request-headers": ",".join([*sent, "x-evil", "cookie"])}
    reply = await pages.options(CHAT, headers={"origin": PAGE, **asking})
    names = reply.headers["access-control-allow-headers"].split(", ")
    assert names == ["authorization", "content-type", "x-api-key", *sorted(sent)]


async def test_what_is_told_beside_an_answer_may_be_read(
    lan: Lan, pages: httpx.AsyncClient
) -> None:
    known = {"origin": PAGE, "authorization": f"Bearer {lan.secret}"}
    reply = await pages.get("/v1/models", headers=known)
    read = reply.headers["access-control-expose-headers"]
    for name in ("x-ratelimit-remaining-tokens", "x-client-request-id", "idempotent-replayed"):
        assert name in read
