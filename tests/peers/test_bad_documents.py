"""Some 250 bad documents and 76 bad requests: each is refused with a code, and changes nothing."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import pytest

from appliance.errors import PolicyRefused, StateRefused
from appliance.peers.documents import TravelLine
from appliance.peers.exchange import DocumentsAsked, LooksAsked, ReceiptAsked, UnitsAsked
from appliance.peers.look_votes import RegisteredLook, VoteAsked
from appliance.peers.mirror import MirrorAsked
from appliance.peers.travelling_statements import RouteSuspension, SignedHost
from appliance.routing.upstreams.fingerprint import Fingerprint
from appliance.trust.bytes import dsse, ecdsa, evidence
from appliance.trust.statements import approval
from appliance.trust.statements.approval import UpstreamSubject
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.statement import PAYLOAD_TYPE
from appliance.trust.statements.upstream import UpstreamRecord
from tests.evals import gates
from tests.peers.site_members import OneOf, made_site, opened, publish
from tests.peers.test_exchange import LOOK, SPLIT, STATEMENT
from tests.site import Site
from tests.trust import policies
from tests.trust.forge import new_key
from tests.trust.simulator import Simulator
from tests.trust.statements.test_route import certificate

HOST: Final = "upstream"
ENDS: Final = ("malformed", "signature", "listed", "allowed")
"""Last words of the codes."""
_STRANGER: Final = new_key()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulator, dict[str, Site]]:
    sim, sites = made_site(tmp_path_factory.mktemp("site"), "ab")
    sim.policy["keys"] |= policies.bound(gates.EVALUATOR, "evidence of plant 1")
    evaluators = {"keys": [policies.hint(gates.EVALUATOR)], "threshold": 1}
    sim.policy["roles"]["evaluator"] = evaluators
    publish(sim, sites)
    return sim, sites


@pytest.fixture(scope="module")
def pair(site: tuple[Simulator, dict[str, Site]]) -> Iterator[tuple[OneOf, OneOf]]:
    with opened(site[1]) as found:
        yield found["a"], found["b"]


def approved(a: OneOf) -> tuple[UpstreamRecord, bytes, bytes]:
    """A host, what was learnt of it, and an approval of it."""
    learnt = Fingerprint((), ((("a", -1),),), tolerance=1).encode()
    record = UpstreamRecord(
        "big", "openai", "http://127.0.0.1:9", "there", (), (), keeps_content=False,
        fingerprint=hashlib.sha256(learnt).hexdigest(),
    )  # fmt: skip
    given = approval.sign(
        UpstreamSubject.of(record), name="Alice", meaning="may be asked",
        time_us=a.services.clock.wall_us(), private_key=ecdsa.private_pem(policies.ALICE),
    )  # fmt: skip
    return record, learnt, given


@pytest.fixture(scope="module")
def true(pair: tuple[OneOf, OneOf]) -> dict[str, str]:
    """A document of each kind that b would take."""
    a, _ = pair
    a.services.keys.create("crm")
    a.exchange.travelling.publish()
    (key,) = a.exchange.travelling.all()
    record, learnt, given = approved(a)
    task = TaskVersion("v1", "ab" * 32)
    pointer = TaskPointer("orders", task, "", "Alice", "read", "2026-11-25T00:00:00Z")
    suspension = RouteSuspension("orders", "cd" * 32, "errors", 1)
    found = {
        "api-key": key.envelope.encode(),
        "approval": given,
        "pointer": pointer.sign(policies.ALICE),
        "evaluation": gates.certificate(),
        "route": certificate(),
        "route-suspension": suspension.sign(evidence.ensure(a.services.data)),
        HOST: msgspec.json.encode(SignedHost(record, learnt, given.decode())),
    }
    return {kind: envelope.decode() for kind, envelope in found.items()}


Change = Callable[[dict[str, Any]], object]


def edit(change: Change) -> Callable[[str], str]:
    """Change the envelope."""

    def changed(envelope: str) -> str:
        document = json.loads(envelope)
        change(document)
        return json.dumps(document)

    return changed


def payload(change: Callable[[bytes], bytes]) -> Change:
    """Change the signed bytes, and not the signatures."""

    def changed(document: dict[str, Any]) -> None:
        said = change(base64.b64decode(document["payload"]))
        document["payload"] = base64.b64encode(said).decode()

    return changed


def spoilt(document: dict[str, Any]) -> None:
    signature = bytearray(base64.b64decode(document["signatures"][0]["sig"]))
    signature[-1] ^= 1
    document["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def by_a_stranger(document: dict[str, Any]) -> None:
    said = base64.b64decode(document["payload"])
    document |= json.loads(dsse.sign(said, PAYLOAD_TYPE, [_STRANGER]))


def named_otherwise(document: dict[str, Any]) -> None:
    """A stranger's signature under the true signer's name."""
    name = document["signatures"][0]["keyid"]
    by_a_stranger(document)
    document["signatures"][0]["keyid"] = name


TEXTS: Final[Mapping[str, Callable[[str], str]]] = {
    "nothing": lambda envelope: "",
    "an empty object": lambda envelope: "{}",
    "null": lambda envelope: "null",
    "a list": lambda envelope: f"[{envelope}]",
    "cut in half": lambda envelope: envelope[: len(envelope) // 2],
    "without its last byte": lambda envelope: envelope[:-1],
    "twice": lambda envelope: envelope * 2,
    "nested without end": lambda envelope: "[" * 100_000,
    "a megabyte of blanks": lambda envelope: " " * (1 << 20),
    "a member twice": lambda envelope: envelope[:-1] + ',"payloadType":"x","payloadType":"x"}',
    "NaN": lambda envelope: envelope[:-1] + ',"x":NaN}',
}
"""What is done to any text."""
SIGNED: Final[Mapping[str, Callable[[str], str]]] = {
    "a bit of the signature": edit(spoilt),
    "no signature": edit(lambda document: document.update(signatures=[])),
    "its signature twice": edit(lambda d: d.update(signatures=d["signatures"] * 2)),
    "many signatures": edit(lambda d: d.update(signatures=d["signatures"] * 99)),
    "signatures that are none": edit(lambda d: d.update(signatures=[1, None])),
    "another type": edit(lambda document: document.update(payloadType="text/plain")),
    "no base64": edit(lambda document: document.update(payload="%%%")),
    "a payload that is no text": edit(lambda document: document.update(payload=7)),
    "one byte of the payload": edit(payload(lambda said: said.replace(b"v1", b"v2"))),
    "a payload that is no JSON": edit(payload(lambda said: said[1:])),
    "a longer payload": edit(payload(lambda said: said + b" ")),
    "by a stranger": edit(by_a_stranger),
    "by a stranger under the signer's name": edit(named_otherwise),
}
"""What is done to a signed envelope."""


def state(one: OneOf) -> tuple[object, ...]:
    travelling = one.exchange.travelling
    return (
        one.services.reader.size, one.services.keys.rows(), list(travelling.all()),
        travelling.waiting(),
    )  # fmt: skip


def kinds() -> list[str]:
    return ["api-key", "approval", "pointer", "evaluation", "route", "route-suspension", HOST]


@pytest.mark.parametrize("kind", kinds())
def test_a_bad_document_changes_nothing(
    kind: str, pair: tuple[OneOf, OneOf], true: dict[str, str]
) -> None:
    """Each change of it, each other kind's document under its name, and it under no kind's."""
    _, b = pair
    before = state(b)

    def refusals(line: TravelLine) -> list[str]:
        new, refused = b.exchange.travelling.take_all([line])
        assert new == 0 and state(b) == before
        return [one.code for one in refused]

    whole = true[kind]
    bad = {name: change(whole) for name, change in TEXTS.items()}
    if kind == HOST:
        told = json.loads(whole)
        inner = {n: change(told["approval"]) for n, change in {**TEXTS, **SIGNED}.items()}
        bad |= {f"{n} inside": json.dumps({**told, "approval": each}) for n, each in inner.items()}
    else:
        bad |= {name: change(whole) for name, change in SIGNED.items()}
    for name, envelope in bad.items():
        (code,) = refusals(TravelLine(kind, envelope))
        assert code.rpartition("_")[2] in ENDS, (name, code)
    for other, envelope in true.items():
        if other != kind:
            assert refusals(TravelLine(kind, envelope)), other
    for name in ("", kind.upper(), f"{kind} ", "leader", "x" * 5_000):
        assert refusals(TravelLine(name, true[kind])) == ["travelling_unknown_kind"]


def test_the_true_ones_are_taken_once(pair: tuple[OneOf, OneOf], true: dict[str, str]) -> None:
    """The control."""
    _, b = pair
    lines = [TravelLine(kind, envelope) for kind, envelope in true.items()]
    assert b.exchange.travelling.take_all(lines) == (len(lines), [])
    after = state(b)
    assert b.exchange.travelling.take_all(lines) == (0, [])
    assert state(b) == after


REQUESTS: Final[Mapping[str, Callable[[str, str], msgspec.Struct]]] = {
    "answer": lambda hint, to: DocumentsAsked(hint, to, "", 0),
    "vote": lambda hint, to: LooksAsked(hint, to, None),
    "receipt_asked": lambda hint, to: ReceiptAsked(hint, to, "k", "r"),
    "keep": lambda hint, to: MirrorAsked.of(hint, to, None),
    "lend": lambda hint, to: UnitsAsked(hint, to, ()),
}


@pytest.mark.parametrize("door", REQUESTS)
def test_a_bad_request_gets_nothing(
    door: str, site: tuple[Simulator, dict[str, Site]], pair: tuple[OneOf, OneOf]
) -> None:
    a, b = pair
    key, hint, origin = evidence.ensure(a.services.data), a.exchange.hint, b.services.reader.origin
    asks: Callable[[bytes, bytes], object] = getattr(b.exchange, door)
    made = REQUESTS[door]

    def signed(body: bytes, by: ecdsa.PrivateKey = key) -> tuple[bytes, bytes]:
        return body, ecdsa.sign(by, STATEMENT + body)

    body = msgspec.json.encode(made(hint, origin))
    told, stranger = json.loads(body), policies.hint(_STRANGER)
    good = signed(body)[1]
    cases = {
        "nothing": signed(b""),
        "no JSON": signed(b"{"),
        "no UTF-8": signed(body.replace(b'"to"', b'"\xff"')),
        "a list": signed(b"[" + body + b"]"),
        "nested without end": signed(b"[" * 100_000),
        "one more member": signed(json.dumps({**told, "leader": True}).encode()),
        "one less": signed(json.dumps({k: v for k, v in told.items() if k != "to"}).encode()),
        "a number as its name": signed(json.dumps({**told, "member": 1}).encode()),
        "for another appliance": signed(msgspec.json.encode(made(hint, "c.example/audit"))),
        "for the one that asks": signed(msgspec.json.encode(made(hint, a.services.reader.origin))),
        "of a stranger": signed(msgspec.json.encode(made(stranger, origin)), _STRANGER),
        "of a person": signed(
            msgspec.json.encode(made(policies.hint(policies.ALICE), origin)), policies.ALICE
        ),
        "of a stranger under its name": signed(body, _STRANGER),
        "of the asked one": signed(body, evidence.ensure(b.services.data)),
        "unsigned": (body, b""),
        "signed by nobody": (body, bytes(len(good))),
        "with another request's signature": (body + b" ", good),
        "signed without the statement": (body, ecdsa.sign(key, body)),
        "cut in its signature": (body, good[:-1]),
    }
    before = state(b)
    for name, (sent, signature) in cases.items():
        with pytest.raises(PolicyRefused) as caught:
            asks(sent, signature)
        assert caught.value.code.startswith(("travelling_", "member_")), name
    assert state(b) == before
    asks(body, good)  # the control


def test_a_vote_of_another_list_registers_nothing(pair: tuple[OneOf, OneOf]) -> None:
    a, b = pair
    vote = VoteAsked(b.exchange.hint, "register", "00" * 32, RegisteredLook(LOOK, SPLIT))
    body = msgspec.json.encode(LooksAsked(a.exchange.hint, b.services.reader.origin, vote))
    with pytest.raises(StateRefused):
        b.exchange.vote(body, ecdsa.sign(evidence.ensure(a.services.data), STATEMENT + body))
    assert b.exchange._voter.tell().looks == ()
