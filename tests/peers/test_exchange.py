"""Documents are pulled by listed appliances only; a bad peer stops nothing."""

import base64
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.api.admin.deps import Person
from appliance.api.admin.facts import gathered
from appliance.api.admin.models import approve_model
from appliance.api.admin.site import list_peers
from appliance.app import Services
from appliance.audit.log import Draft
from appliance.datasets.ledger import LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.errors import PolicyRefused, StateRefused, Unavailable
from appliance.forwarding.receivers import HttpAnswer
from appliance.incidents import rules
from appliance.peers.exchange import MOST_BYTES, DocumentsAsked, PulledPeer, SiteExchange
from appliance.peers.ring import DOCUMENTS
from appliance.trust.bytes import ecdsa, evidence
from appliance.trust.statements import approval
from appliance.types import Json, Role
from appliance.wire.admin.models import ApprovalUpload
from tests.peers.site_members import OneOf, made_site, opened
from tests.site import MODEL
from tests.smol import quiet
from tests.trust import policies
from tests.trust.forge import new_key
from tests.trust.policies import hint

STATEMENT = b"appliance site request v1\n"
LOOK = LedgerLook("spec", 1, "t", "d", "s", "e", "test", "ada", 50_000, 1)
SPLIT = SplitMarks(frozenset({"group"}), frozenset(), ("item",))
FIELDS: dict[str, Json] = {"request_id": "r-1", "key_id": "k1", "model": "m"}


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


def test_an_older_release_takes_what_it_knows_and_the_rest_once_it_is_upgraded(
    pair: tuple[OneOf, OneOf],
) -> None:
    a, b = pair
    b.services.keys.create("crm")
    kinds = a.exchange.travelling._kinds
    known = kinds.pop("api-key")  # the older release
    assert a.pulls("b") == "" and a.services.keys.list() == ()
    listed: Any = list_peers(a.services)
    assert [one.code for one in listed.refused] == ["travelling_unknown_kind"]
    assert listed.peers[0].documents == ""  # it hears the newer one
    kinds["api-key"] = known
    again = PulledPeer(a.peer("b").address, a.exchange)  # the upgrade's new process
    again.pull()
    assert again.travel.refused == () and a.key("crm").name == "crm"


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


async def test_a_stale_member_says_so_and_by_policy_refuses_approvals_looks_and_apps(
    tmp_path: Path,
) -> None:
    _, sites = made_site(tmp_path, "ab", refuse_stale=True)
    with opened(sites) as found:
        a = found["a"]
        seconds = [0.0]
        standing = a.exchange.standing
        standing._now, standing._begun = (lambda: seconds[0]), 0.0
        services, person = a.services, Person(0, Role.ADMIN)
        artifact = sites["a"].artifact(tmp_path / MODEL)
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        upload = ApprovalUpload(
            envelope=approval.sign(
                services.lifecycle.subject(MODEL), name="Alice", meaning="fit for use",
                time_us=services.clock.wall_us(), private_key=ecdsa.private_pem(policies.ALICE),
            ).decode()
        )  # fmt: skip
        recording = services.inference._shared.recording
        _, secret = services.keys.create("stale app")

        async def refusal(asks: Callable[[], Awaitable[object]]) -> str:
            with pytest.raises((Unavailable, StateRefused)) as caught:
                await asks()
            return caught.value.code

        async def approves() -> object:
            taken: Any = approve_model(person, services, MODEL, upload)
            return await taken

        async def looks() -> object:
            return a.exchange.agree(LOOK, SPLIT)

        async def asks() -> object:
            return services.keys.authenticate(secret)

        def listed() -> Any:
            return list_peers(services)

        def told() -> tuple[bool, bool]:
            alarms = {alarm.code for alarm in rules.alarms(gathered(services))}
            return "site_stale" in alarms, listed().stale

        async def recorded() -> object:
            receipt = await recording.append(Draft("intent", {**FIELDS}))
            return services.reader.entry(receipt.seq).body.get("site")

        for silent_s in (0, 61):
            seconds[0] += silent_s
            assert {await refusal(one) for one in (approves, looks, asks)} == {"site_stale"}
            assert await recorded() == "stale"
            assert told() == (silent_s > 0, True)  # a start is no alarm
            a.listens()  # the control: one that hears is not stale
            assert told() == (False, False) and await recorded() is None
            assert listed().peers[0].heard_seconds == 0
            await asks()
            assert await refusal(looks) == "looks_unagreed"  # the other one has heard nobody
        await approves()
        assert len(services.store.approvals(MODEL, services.policy())) == 1


def test_one_appliance_alone_is_never_stale(services: Services) -> None:
    assert services.site is None and services.inference._shared.recording._mirrored is None
    assert services.inference._shared.recording._heard() == {}
    services.check_heard()
    assert gathered(services).site_stale == ""
