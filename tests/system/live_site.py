"""A site whose two models are real: one signed by certificate, one by a key; and its LAN app."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from appliance.api.app import create_lan_app
from appliance.app import Services
from appliance.audit.search import Query
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.site import Site, approve, make_site
from tests.smol import quiet, until
from tests.trust import certs, policies
from tests.trust.simulator import DAY, NOW, Simulator

CERTIFIED, KEYED = "certified", "keyed"
_VALID = {"start": NOW - DAY, "end": NOW + 365 * DAY}
CHAIN = certs.chain(certs.LEAF.but(**_VALID), certs.ISSUER.but(**_VALID), certs.ROOT.but(**_VALID))


async def make(root: Path, gguf: Path) -> Site:
    sim = Simulator()
    sim.policy["authorities"] = [
        {"certificate": CHAIN.root.pem.decode(), "subjects": {CHAIN.leaf.subject: "Ada"}}
    ]
    site = make_site(root, sim)
    sim.policy["models"] = [{"id": CERTIFIED}, {"id": KEYED}]
    with site.services() as services:
        await services.renewal.update("uid:0", sim.next(), serving=False)
        for name in (CERTIFIED, KEYED):
            artifact = root / name
            artifact.mkdir()
            shutil.copyfile(gguf, artifact / "model.gguf")
            key, chain = (
                (CHAIN.leaf.key, CHAIN.pem) if name == CERTIFIED else (policies.PUBLISHER, None)
            )
            signing.sign_directory(artifact, ecdsa.private_pem(key), quiet, chain_pem=chain)
            services.lifecycle.import_model("uid:0", artifact, None, quiet)
            approve(services, name, "Alice", "Bob")
            shutil.rmtree(artifact)
    return site


@contextlib.asynccontextmanager
async def lan(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    _, secret = services.keys.create("app")
    transport = httpx.ASGITransport(create_lan_app(services))
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://lan", headers=headers
    ) as client:
        yield client


async def streamed(
    client: httpx.AsyncClient,
    services: Services,
    model: str,
    meanwhile: Callable[[], Awaitable[Any]],
    max_tokens: int = 400,
) -> list[str]:
    """The events of a long answer; once it runs, `meanwhile` happens."""
    asked = asyncio.create_task(
        client.post(
            "/v1/chat/completions",
            json={
                "model": model, "messages": [{"role": "user", "content": "Count."}],
                "stream": True, "max_tokens": max_tokens, "ignore_eos": True,
            },
        )
    )  # fmt: skip
    await until(
        lambda: asked.done() or any(g.completion_tokens > 2 for g in services.inference.running())
    )
    await meanwhile()
    lines = (await asked).text.splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def error_of(events: list[str]) -> str:
    last = events[-1]
    return "" if last == "[DONE]" else str(json.loads(last)["error"]["code"])


def edges(services: Services, model: str) -> list[dict[str, Any]]:
    found = services.reader.search(Query(kind="model", model=model, limit=1000)).entries
    return [dict(entry.body) for entry in found]
