"""Probes: alive, and able to answer."""

import pytest

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
