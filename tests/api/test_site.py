"""`POST /site/documents`: there with peers only; a signature of a listed appliance is its key."""

import base64
from pathlib import Path

import httpx
import msgspec

from appliance.api.app import create_lan_app
from appliance.peers.exchange import SIGNED, DocumentsAsked
from appliance.peers.ring import DOCUMENTS
from appliance.trust.bytes import ecdsa, evidence
from tests.api.conftest import Lan
from tests.peers.site_members import made_site, opened


async def test_without_peers_there_are_no_documents(lan: Lan) -> None:
    async with lan.anonymous() as client:
        assert (await client.post(DOCUMENTS, json={})).status_code == 401
    assert (await lan.client.post(DOCUMENTS, json={})).status_code == 404


async def test_documents_over_http(tmp_path: Path) -> None:
    with opened(made_site(tmp_path, "ab")[1]) as found:
        a, b = found["a"], found["b"]
        b.services.keys.create("crm")
        key = evidence.ensure(a.services.data)
        body = msgspec.json.encode(DocumentsAsked(a.exchange.hint, b.services.reader.origin, "", 0))
        signed = ecdsa.sign(key, b"appliance site request v1\n" + body)
        transport = httpx.ASGITransport(create_lan_app(b.services))
        async with httpx.AsyncClient(transport=transport, base_url="http://b") as client:
            replies = [
                await client.post(
                    DOCUMENTS,
                    content=body,
                    headers={SIGNED: head, "content-type": "application/json"},
                )
                for head in (base64.b64encode(signed).decode(), "?", "")
            ]
        assert [reply.status_code for reply in replies] == [200, 403, 403]
        assert "api-key" in replies[0].text and "travelling_signature" in replies[1].text
