"""Two appliances over HTTP: the address of C2SP tlog-witness, without a key."""

import base64
from pathlib import Path

import httpx

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from appliance.audit.cosignature import verify_cosigned, witness_key
from appliance.config import Config, PeerConfig
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.ring import PATH
from appliance.peers.witness import SENT
from appliance.wire.admin.site import SITE, SITE_KEYS
from tests.api.admin.lab import client_of, make_lab
from tests.api.conftest import Lan


async def test_without_peers_there_is_no_such_address(lan: Lan) -> None:
    async with lan.anonymous() as client:
        reply = await client.post(PATH, content=b"old 0\n\n")
    assert reply.status_code == 401
    assert (await lan.client.post(PATH, json={})).status_code == 404


def peer_of(services: Services) -> PeerConfig:
    with client_of(services) as client:
        keys = client.call(SITE_KEYS)
    return PeerConfig("http://127.0.0.1:9", keys.log_key, keys.witness_key)


async def test_each_cosigns_the_log_of_the_other(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    one, two = (make_lab(tmp_path / name).data for name in "ab")
    with open_services(two) as b:
        of_b = peer_of(b)
    with open_services(one, config=Config(peers={"b": of_b})) as a:
        config = Config(peers={"a": peer_of(a)})
        with open_services(two, config=config) as b:
            transport = httpx.ASGITransport(create_lan_app(b))
            async with httpx.AsyncClient(transport=transport, base_url="http://b") as client:
                body = a.reader.witness_request(witness_key(of_b.witness_key.encode()))
                sent = base64.b64encode(a.ring.witness.sent(body)).decode()
                first, again, other, malformed = [
                    await client.post(PATH, content=content, headers={SENT: head})
                    for content, head in (
                        (body, sent), (body, "?"), (body.replace(b"old 0", b"old 7"), sent),
                        (b"{}", ""),
                    )
                ]  # fmt: skip
            note = body.partition(b"\n\n")[2]
            key = witness_key(of_b.witness_key.encode())
            head, _ = verify_cosigned(note + first.content, a.reader.origin, key)
            assert (first.status_code, head.size) == (200, b.ring.standings[0].seen)
            assert again.status_code == 409 and int(again.text) == head.size
            assert again.headers["content-type"].startswith("text/x.tlog.size")
            assert (other.status_code, malformed.status_code) == (409, 400)
            (peer,) = a.ring._peers
            peer._post = lambda content, _: HttpAnswer(200, first.content)
            peer.ask()
            with client_of(a) as admin:
                (told,) = admin.call(SITE).peers
            assert (told.cosigned, told.problem, told.differs) == (head.size, "", "")
