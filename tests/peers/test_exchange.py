"""Documents are pulled by listed appliances only; a bad peer stops nothing."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from appliance.errors import PolicyRefused
from appliance.forwarding.receivers import HttpAnswer
from appliance.peers.exchange import MOST_BYTES, DocumentsAsked, SiteExchange
from appliance.peers.ring import DOCUMENTS
from appliance.trust.bytes import ecdsa, evidence
from tests.peers.site_members import OneOf, made_site, opened
from tests.trust.forge import new_key
from tests.trust.policies import hint

STATEMENT = b"appliance site request v1\n"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[OneOf, OneOf]]:
    with opened(made_site(tmp_path, "ab")[1]) as found:
        yield found["a"], found["b"]


def asked(
    of: SiteExchange, key: ecdsa.PrivateKey, to: str, name: str = "", body: bytes = b""
) -> bytes:
    body = body or msgspec.json.encode(DocumentsAsked(name or hint(key), to, "", 0))
    return of.answer(body, ecdsa.sign(key, STATEMENT + body))


def test_only_a_listed_appliance_gets_documents(pair: tuple[OneOf, OneOf]) -> None:
    a, b = pair
    b.services.keys.create("crm")
    key, origin = evidence.ensure(a.services.data), b.services.reader.origin
    assert len(json.loads(asked(b.exchange, key, origin))["documents"]) == 1  # the control
    stranger = new_key()
    cases = {
        "member_not_listed": (stranger, origin, "", b""),
        "travelling_signature": (stranger, origin, a.exchange.hint, b""),
        "travelling_other_site": (key, a.services.reader.origin, "", b""),
        "travelling_malformed": (key, origin, "", b'{"member": "x"}'),
    }
    for code, (signer, to, name, body) in cases.items():
        with pytest.raises(PolicyRefused) as caught:
            asked(b.exchange, signer, to, name, body)
        assert caught.value.code == code
    with pytest.raises(PolicyRefused):  # of no signature at all
        b.exchange.answer(msgspec.json.encode(DocumentsAsked(hint(key), origin, "", 0)), b"")


def test_only_what_is_new_is_sent_until_the_peer_begins_again(pair: tuple[OneOf, OneOf]) -> None:
    a, b = pair
    sent: list[int] = []
    peer = a.peer("b")
    inner = peer.address.post

    def counting(path: str, body: bytes, head: Mapping[str, str], certificate: str) -> HttpAnswer:
        answer = inner(path, body, head, certificate)
        sent.extend([len(json.loads(answer.body)["documents"])] if path == DOCUMENTS else [])
        return answer

    peer.address = replace(peer.address, post=counting)
    b.services.keys.create("one")
    peer.pull()
    peer.pull()
    b.services.keys.create("two")
    peer.pull()
    b.exchange._run = "another process"
    peer.pull()
    assert sent == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (HttpAnswer(200, b"[" * (MOST_BYTES + 1)), "more than"),
        (HttpAnswer(200, b"{}"), "Documents of a peer"),
        (HttpAnswer(200, b'{"run":"r","place":0,"more":true,"documents":[]}'), "does not end"),
        (HttpAnswer(503, b"later\x1b[2J"), "503"),
    ],
)
def test_a_peer_that_misbehaves_is_a_problem_with_a_name(
    pair: tuple[OneOf, OneOf], answer: HttpAnswer, problem: str
) -> None:
    a, _ = pair
    peer = a.peer("b")
    good, peer.address = peer.address, replace(peer.address, post=lambda *_: answer)
    peer.pull()
    assert problem in peer.travel.problem
    peer.address = good
    peer.pull()
    assert peer.travel.problem == "" and not a.exchange.standing.stale


def test_a_peer_that_the_policy_does_not_list_is_not_asked(pair: tuple[OneOf, OneOf]) -> None:
    a, _ = pair
    peer = a.peer("b")
    peer.address = replace(peer.address, log_key="other+00000000+AAAA")
    peer.pull()
    assert "does not list" in peer.travel.problem and a.exchange.standing.stale


def test_a_request_is_for_one_appliance_and_signed(pair: tuple[OneOf, OneOf]) -> None:
    a, b = pair
    seen: list[tuple[bytes, bytes]] = []

    def post(path: str, body: bytes, head: Mapping[str, str], certificate: str) -> HttpAnswer:
        seen.append((body, base64.b64decode(head["x-appliance-member"])))
        return HttpAnswer(200, b"{}")

    peer = a.peer("b")
    peer.address = replace(peer.address, post=post)
    peer.pull()
    ((body, signature),) = seen
    assert json.loads(body)["to"] == b.services.reader.origin
    assert ecdsa.verify(a.exchange._key.public_key(), signature, STATEMENT + body)
