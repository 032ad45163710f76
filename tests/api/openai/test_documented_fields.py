"""Every field that other servers document, sent to the app: what the table says is what happens."""

from typing import Any

import pytest

from appliance.wire.openai.fields import HARMLESS, REFUSED, Route
from tests.api.conftest import Lan
from tests.api.fake import CARD
from tests.wire.openai.documented import BODIES, DOCUMENTED

TRIED: tuple[Route, ...] = (
    "chat", "completions", "responses", "messages", "embeddings", "rerank", "classify",
)  # fmt: skip
PAIRS: list[tuple[Route, str]] = [
    (route, name) for route in TRIED for name in sorted(DOCUMENTED[route])
]


@pytest.mark.parametrize("route", dict.fromkeys(route for route, _ in PAIRS))
async def test_every_documented_field(lan: Lan, route: Route) -> None:
    address, base = BODIES[route]
    body = {"model": CARD.id, **base}

    async def asked(**fields: Any) -> Any:
        return await lan.client.post(address, json={**body, **fields})

    plain = None
    if route not in ("embeddings", "rerank", "classify"):  # the fake engine writes text only
        assert (await asked()).status_code == 200
        plain = lan.inference.requests[-1][1]
    for name in (name for there, name in PAIRS if there == route):
        if name in REFUSED[route]:
            reply = await asked(**{name: {"a": "value"}})
            error = reply.json()["error"]
            assert reply.status_code == 400, name
            told = error if "code" in error else error["details"]
            code = told.get("code") or told["error_code"]
            assert (code, told["param"]) == ("unsupported_parameter", name)
            assert REFUSED[route][name].reason in error["message"]
        elif name in HARMLESS[route] and plain is not None:
            assert (await asked(**{name: {"a": "value"}})).status_code == 200, name
            assert lan.inference.requests[-1][1] == plain
