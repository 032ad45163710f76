"""Probes: alive, and able to answer."""

from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import initialise, open_services
from appliance.config import AuditConfig, Config
from appliance.trust.bytes.directory import remove_tree
from tests.api.conftest import Lan
from tests.registry.test_lifecycle import tiny
from tests.smol import APPROVERS, SMALL, approve, quiet


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
        code = "model_suspended" if "suspended" in states else "model_loading"
        assert reply.json()["error"]["code"] == code
        assert reply.headers["retry-after"] == "5"
    # Which models are suspended is told; no other site data for those without a key.
    assert ("echo" in reply.text) is ("suspended" in states)


async def test_a_log_that_cannot_be_written_means_not_ready_and_no_answer(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    config = Config(audit=AuditConfig(reserve_mib=1 << 40))  # more than any disk has free
    with open_services(tmp_path / "data") as services:
        _, secret = services.keys.create("app")
    with open_services(tmp_path / "data", config=config) as services:
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


async def test_models_whose_files_are_missing_make_no_server_ready(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        services.lifecycle.import_model("uid:0", tiny(services), None, quiet)
        approve(services, "tiny", *APPROVERS)
        services.pool.complete = True
        assert services.pool.ready()  # positive control: with its files it counts
        remove_tree(tmp_path / "data" / "models" / "tiny")
        _, secret = services.keys.create("app")
        transport = httpx.ASGITransport(create_lan_app(services))
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan", headers=headers
        ) as client:
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/v1/models")).json()["data"] == []
            chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
            answer = await client.post("/v1/chat/completions", json=chat)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_missing")
            chat["model"] = "other"
            answer = await client.post("/v1/chat/completions", json=chat)
            assert answer.status_code == 404


async def test_probes_may_ask_for_the_head_alone(lan: Lan) -> None:
    async with lan.anonymous() as client:
        assert (await client.head("/healthz")).status_code == 200
        assert (await client.head("/readyz")).status_code == 200
        lan.supervisor.states = []
        assert (await client.head("/readyz")).status_code == 503
        assert (await client.head("/v1/models")).status_code == 401
