"""Probes: alive, and able to answer."""

from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import initialise, open_services
from appliance.config import AuditConfig, Config
from tests.api.conftest import Lan


async def test_healthz_is_ok_whatever_the_models_do(lan: Lan) -> None:
    lan.supervisor.states = []
    async with lan.anonymous() as client:
        reply = await client.get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], 503), (["starting"], 503), (["restarting", "suspended"], 503),
        (["ready"], 200), (["suspended", "ready"], 200),
    ],
)  # fmt: skip
async def test_readyz_is_200_once_one_model_can_answer(
    lan: Lan, states: list[str], status: int
) -> None:
    lan.supervisor.states = states
    async with lan.anonymous() as client:
        reply = await client.get("/readyz")
    assert reply.status_code == status
    if status == 503:
        assert reply.json()["error"]["code"] == "model_loading"
        assert reply.headers["retry-after"] == "5"
    assert "echo" not in reply.text  # no site data for those without a key


async def test_a_log_that_cannot_be_written_means_not_ready_and_no_answer(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    config = Config(audit=AuditConfig(reserve_mib=1 << 40))  # more than any disk has free
    with open_services(tmp_path / "data", config=config) as services:
        _, secret = services.keys.create("app")
        transport = httpx.ASGITransport(create_lan_app(services))
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan", headers=headers
        ) as client:
            ready = await client.get("/readyz")
            chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            answer = await client.post("/v1/chat/completions", json=chat)
    for reply in (ready, answer):
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "audit_unavailable")
        assert reply.headers["x-should-retry"] == "false"
    assert "MiB" not in ready.text  # how full the disk is, is not for those without a key
