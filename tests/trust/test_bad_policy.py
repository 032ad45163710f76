"""Each "Policy" case of the list of bad inputs (52 to 69) at a site, by its own way in.

Each has its code, leaves files, approvals, states and metadata as they were, and is recorded once.
Attacks on metadata (57 to 59 and more): tests/governance/test_trust_updates.py; adapters (66 to
68): test_bad_adapters.py.
"""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.audit.search import Query
from appliance.errors import CODES, PolicyRefused, Refused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalSubject
from tests.site import MODEL, Site, approve, make_site
from tests.smol import quiet
from tests.trust import certs, forge
from tests.trust.policies import ALICE, ALICE_TOO, BOB, PUBLISHER, bound, hint
from tests.trust.simulator import DAY, NOW, Simulator

pytestmark = pytest.mark.long

ACTOR, NEW = "uid:4711", "new"
_VALID = {"start": NOW - DAY, "end": NOW + 365 * DAY}
CHAIN = certs.chain(certs.LEAF.but(**_VALID), certs.ISSUER.but(**_VALID), certs.ROOT.but(**_VALID))
Document = dict[str, Any]


@dataclass
class Bad:
    """A site with `MODEL`, which Alice has approved, and an artifact `NEW`."""

    site: Site
    services: Services

    def artifact(self, files: dict[str, bytes], chain: certs.Chain | None = None) -> Path:
        path = self.site.data.parent / NEW
        forge.make_artifact(path)
        for name, data in files.items():
            (path / name).write_bytes(data)
        key = chain.leaf.key if chain else PUBLISHER
        pem = chain.pem if chain else None
        signing.sign_directory(path, ecdsa.private_pem(key), quiet, chain_pem=pem)
        return path

    def take(self, chain: certs.Chain | None = None, **files: bytes) -> None:
        """Import `NEW`; `_` in a name stands for the dot."""
        named = {name.replace("_", "."): data for name, data in files.items()}
        path = self.artifact(named, chain)
        record = self.services.lifecycle.import_model(ACTOR, path, None, quiet)
        if record.code:
            raise PolicyRefused(record.code, record.message)

    def approve(
        self,
        name: str,
        key: ecdsa.PrivateKey,
        change: Callable[[ApprovalSubject], ApprovalSubject] = lambda subject: subject,
    ) -> None:
        envelope = approval.sign(
            change(self.services.lifecycle.subject(MODEL)), name=name, meaning="fit for use",
            time_us=self.services.clock.wall_us(), private_key=ecdsa.private_pem(key),
        )  # fmt: skip
        self.services.lifecycle.approve(ACTOR, MODEL, envelope)

    def snapshot(self) -> object:
        models = self.site.data / "models"
        files = {
            str(p.relative_to(models)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in models.rglob("*")
            if p.is_file()
        }
        record = self.services.store.inventory.record(MODEL)
        envelopes = self.services.store._records.approvals(MODEL)
        metadata = (self.site.data / "trust" / "metadata.json").read_bytes()
        return files, record.state, record.round, envelopes, metadata


@dataclass(frozen=True)
class Case:
    """An attempt under a changed policy, and the code.

    Attributes:
        approved: Bob has approved `MODEL` too.
    """

    code: str
    act: Callable[[Bad], Any]
    change: Callable[[Document], object] = lambda document: None
    approved: bool = False


def rule(**more: object) -> Callable[[Document], object]:
    return lambda d: d["models"][1].update(more)


def revoked(**what: list[str]) -> Callable[[Document], object]:
    return lambda d: d["revoked"].update(what)


def also_publisher(document: Document) -> None:
    """Alice publishes too: `MODEL` is signed by a key of hers."""
    document["keys"][hint(PUBLISHER)]["person"] = "Alice"


def certified_approver(document: Document) -> None:
    document["keys"].update(bound(CHAIN.leaf.key, "Zoe"))
    document["roles"]["approver"]["keys"].append(hint(CHAIN.leaf.key))


async def approve_own(bad: Bad) -> None:
    bad.take(CHAIN)
    envelope = approval.sign(
        bad.services.lifecycle.subject(NEW), name="Zoe", meaning="x",
        time_us=bad.services.clock.wall_us(), private_key=ecdsa.private_pem(CHAIN.leaf.key),
    )  # fmt: skip
    bad.services.lifecycle.approve(ACTOR, NEW, envelope)


async def asks_for_a_test(bad: Bad) -> None:
    bad.site.sim.policy["models"][0]["require"] = ["oms", "test-result"]
    await bad.services.renewal.update(ACTOR, bad.site.sim.next(), serving=False)


async def clock_back(bad: Bad) -> None:
    bad.site.days(-1)
    try:
        bad.take()
    finally:
        bad.site.days(1)


CASES: dict[str, Case] = {
    "52 a revoked publisher": Case(
        "key_revoked", lambda b: b.take(), revoked(keys=[hint(PUBLISHER)])
    ),
    "52 a revoked approver": Case(
        "key_revoked", lambda b: b.approve("Bob", BOB), revoked(keys=[hint(BOB)])
    ),
    "53 a revoked serial number": Case(
        "certificate_revoked", lambda b: b.take(CHAIN),
        revoked(serials=[f"{CHAIN.leaf.certificate.serial_number:x}"]),
    ),
    "54 a revoked digest": Case(
        "digest_revoked", lambda b: b.take(a_txt=b"evil"),
        revoked(digests=[hashlib.sha256(b"evil").hexdigest()]),
    ),
    "55 a revoked engine": Case(
        "engine_revoked", lambda b: b.services.pool.load(ACTOR, MODEL),
        revoked(engines=["llama-cpp-python<99"]), approved=True,
    ),
    "56 a lower version": Case(
        "model_version_refused", lambda b: b.take(artifact_json=b'{"version": 3}'),
        rule(min_version=4),
    ),
    "60 one approver": Case("not_approved", lambda b: b.services.pool.load(ACTOR, MODEL)),
    "61 the same person twice": Case(
        "approval_duplicate", lambda b: b.approve("Alice", ALICE)
    ),
    "61 the same person with another key": Case(
        "approval_duplicate", lambda b: b.approve("Alice", ALICE_TOO)
    ),
    "61 somebody under the name of another": Case(
        "approver_name_mismatch", lambda b: b.approve("Bob", ALICE_TOO)
    ),
    "62 the publisher approves": Case(
        "approver_not_distinct", lambda b: b.approve("Alice", ALICE), also_publisher
    ),
    "62 the publisher approves, whom a certificate gives another name": Case(
        "approver_not_distinct", approve_own, certified_approver
    ),
    "63 an approval for another digest": Case(
        "approval_other_artifact",
        lambda b: b.approve("Bob", BOB, lambda s: replace(s, digest="00" * 32)),
    ),
    "63 an approval for another model.sig": Case(
        "approval_other_artifact",
        lambda b: b.approve("Bob", BOB, lambda s: replace(s, signature_sha256="00" * 32)),
    ),
    "63 an approval of another round": Case(
        "approval_void", lambda b: b.approve("Bob", BOB, lambda s: replace(s, round=1))
    ),
    "64 an evaluation that nobody could check": Case("policy_invalid", asks_for_a_test),
    "65 a clock that was set back": Case("clock_behind", clock_back),
    "69 another template than the pinned one": Case(
        "template_not_in_policy", lambda b: b.take(), rule(template_sha256="ab" * 32)
    ),
    "a model that is not listed": Case(
        "model_not_in_policy", lambda b: b.take(), lambda d: d["models"].pop()
    ),
    "another digest than the pinned one": Case(
        "model_not_in_policy", lambda b: b.take(), rule(root_digest="ab" * 32)
    ),
}  # fmt: skip
# What happens before the attempt and is no part of it.
BESIDES = {"62 the publisher approves, whom a certificate gives another name"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, Simulator())


@pytest.mark.parametrize("name", CASES)
async def test_refused_with_its_code_unchanged_and_recorded_once(site: Site, name: str) -> None:
    case = CASES[name]
    assert case.code in CODES
    with site.services() as services:
        bad = Bad(site, services)
        services.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        approve(services, MODEL, *(("Alice", "Bob") if case.approved else ("Alice",)))
        site.sim.policy["models"] = [{"id": MODEL}, {"id": NEW}]
        site.sim.policy["authorities"] = [
            {"certificate": CHAIN.root.pem.decode(), "subjects": {CHAIN.leaf.subject: "Ada"}}
        ]
        case.change(site.sim.policy)
        await services.renewal.update(ACTOR, site.sim.next(), serving=False)
        before, size = bad.snapshot(), services.reader.size
        with pytest.raises(Refused) as caught:
            done = case.act(bad)
            if inspect.isawaitable(done):
                await done
        assert caught.value.code == case.code
        if name not in BESIDES:
            assert bad.snapshot() == before
        found = services.reader.search(Query(after=size - 1, limit=100)).entries
        said = [e.body for e in found if e.body.get("code") and e.body["kind"] != "job_end"]
        assert [body["code"] for body in said] == [case.code]


async def test_without_a_fault_it_is_taken(site: Site) -> None:
    with site.services() as services:
        bad = Bad(site, services)
        services.lifecycle.import_model(ACTOR, site.artifact(site.data.parent / MODEL), None, quiet)
        site.sim.policy["models"] = [{"id": MODEL}, {"id": NEW, "min_version": 3}]
        await services.renewal.update(ACTOR, site.sim.next(), serving=False)
        before = bad.snapshot()
        bad.approve("Alice", ALICE)
        bad.approve("Bob", BOB)
        bad.take(artifact_json=b'{"version": 3}')
        assert services.store.inventory.record(MODEL).state == "approved"
        assert services.store.inventory.record(NEW).state == "verified"
        assert bad.snapshot() != before


def test_every_policy_case_of_the_list_is_somewhere() -> None:
    numbers = {name.split()[0] for name in CASES}
    elsewhere = {"57", "58", "59", "66", "67", "68"}
    assert {str(n) for n in range(52, 70)} <= numbers | elsewhere
