"""The person behind a request: verified or claimed, demanded, limited by groups, in the record."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.api.app import create_lan_app
from appliance.api.observe import write_counts
from appliance.app import Services, initialise, open_services
from appliance.audit.entry import LogEntry
from appliance.audit.proof import check_proof
from appliance.audit.search import Query
from appliance.clock import FixedClock
from appliance.config import LdapConfig, PeopleConfig, PeopleGroupConfig
from appliance.errors import Forbidden, NotFound
from appliance.people.directories import DirectoryPerson
from appliance.retrieval.collection import Settings
from appliance.retrieval.service import SearchQuery
from appliance.types import Caller, EndUser
from tests.api.fake import CARD, FakeInference, FakeSupervisor, with_fakes
from tests.people.attacks import ATTACKS
from tests.people.cards import ATTACKS as CARD_ATTACKS
from tests.people.cards import Cards
from tests.people.login import NOW, Login
from tests.retrieval.shelf import incoming
from tests.smol import request as asked

CHAT = {"model": CARD.id, "messages": [{"role": "user", "content": "hi"}]}
TASK = "org/strict:1"
"""A task that is for verified people, whoever asks."""


WARD = "https://ward.example"
"""A login service whose people a directory knows."""
Opened = tuple[Login, FixedClock, Services, Cards]


@dataclass
class Shown:
    """The application behind a TLS layer that was shown a certificate."""

    app: ASGIApp
    certificate: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["peer_certificate"] = self.certificate
        await self.app(scope, receive, send)


@dataclass
class Site:
    """A site with a login service, and clients of two keys: a plain one, and one for people."""

    login: Login
    clock: FixedClock
    services: Services
    inference: FakeInference
    client: httpx.AsyncClient
    strict: httpx.AsyncClient
    carded: httpx.AsyncClient
    shown: Shown

    async def chat(self, token: str = "", *, strict: bool = False, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"x-end-user-token": token} if token else {})}
        client = self.strict if strict else self.client
        return await client.post("/v1/chat/completions", json={**CHAT, **more}, headers=headers)

    def entries(self, reply: httpx.Response) -> tuple[LogEntry, LogEntry]:
        found = self.services.reader.search(Query(request_id=reply.headers["x-request-id"]))
        intent, outcome = found.entries
        return intent, outcome


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Opened]:
    directory, clock = tmp_path_factory.mktemp("people"), FixedClock()
    login = Login(directory / "keys.json")
    initialise(directory / "data", "lab", clock)
    cards = Cards(directory / "cards")
    config = login.site(PeopleConfig(required=(TASK, "vault")))
    ward = PeopleGroupConfig(("ad/CN=Ward,DC=site",), ("*",), "4711")
    config = replace(
        config,
        certificates={"card": cards.config()},
        oidc={**config.oidc, "ward": login.config(issuer=WARD, directory="ad")},
        ldap={"ad": LdapConfig()},
        groups={**config.groups, "ward": ward},
    )
    with open_services(directory / "data", config=config, clock=clock) as services:
        yield login, clock, services, cards


@pytest.fixture
async def site(opened: Opened) -> AsyncIterator[Site]:
    login, clock, real, _ = opened
    clock.now_us = NOW * 1_000_000
    inference = FakeInference(real.audit)
    services = with_fakes(real, inference, FakeSupervisor(["ready"]))
    app = create_lan_app(services)
    shown = Shown(app)
    made = [services.keys.create("plain"), services.keys.create("strict", person=True)]
    (_, plain), (_, strict) = made
    clients = [
        httpx.AsyncClient(
            transport=httpx.ASGITransport(below),
            base_url="http://lan",
            headers={"authorization": f"Bearer {secret}"},
        )
        for below, secret in ((app, plain), (app, strict), (shown, strict))
    ]
    yield Site(login, clock, services, inference, clients[0], clients[1], clients[2], shown)
    for client in clients:
        await client.aclose()
    for key, _ in made:
        services.keys.revoke(key.id)


@pytest.mark.parametrize(
    ("body", "headers", "name"),
    [
        ({"user": "ann"}, {}, "ann"),
        ({"safety_identifier": "lynn", "user": "old"}, {}, "lynn"),
        ({"user": "ann"}, {"x-end-user": "  d\u00e9d\u00e9\u202e ".encode()}, "d\u00e9d\u00e9"),
    ],
)
async def test_a_claim_is_in_every_record_as_a_claim(
    site: Site, body: dict[str, Any], headers: dict[str, Any], name: str
) -> None:
    reply = await site.chat(headers=headers, **body)
    assert reply.status_code == 200
    alias = site.services.end_users.aliases.of(name)
    for entry in site.entries(reply):
        assert (entry.body["end_user"], entry.body["end_user_from"]) == (alias, "claim")
        assert name not in entry.raw.decode()
    intent, outcome = site.entries(reply)
    assert site.services.reader.content(intent.seq, "end_user").decode() == name
    receipt = await site.client.get(f"/v1/receipts/{reply.headers['x-request-id']}")
    proved = check_proof(receipt.json()["proof"].encode(), site.services.reader.genesis())
    assert proved.body["end_user"] == alias and proved.seq == outcome.seq


async def test_nobody_is_named_where_the_app_names_nobody(site: Site) -> None:
    for user in ({}, {"user": ""}, {"user": None}, {"user": "\u200b"}, {"user": {"a": 1}}):
        reply = await site.chat(**user)
        assert reply.status_code == 200
        assert all("end_user" not in entry.body for entry in site.entries(reply))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": CARD.id, "prompt": "a"}),
        ("/v1/responses", {"model": CARD.id, "input": "a", "store": False}),
        ("/v1/embeddings", {"model": CARD.id, "input": "a"}),
        ("/v1/rerank", {"model": CARD.id, "query": "a", "documents": ["b"]}),
        ("/v1/classify", {"model": CARD.id, "input": ["a"]}),
    ],
)
async def test_each_route_takes_the_field_of_its_clients(
    site: Site, path: str, body: dict[str, Any]
) -> None:
    site.inference.requests.clear()
    await site.client.post(path, json={**body, "user": "ann"})
    (caller, _), *_ = site.inference.requests
    assert caller.principal.person == site.services.end_users.claimed("ann")


async def test_anthropics_field(site: Site) -> None:
    body = {**CHAT, "max_tokens": 5, "metadata": {"user_id": "ann"}}
    reply = await site.client.post("/v1/messages", json=body)
    assert site.entries(reply)[0].body["end_user_from"] == "claim"


async def test_a_verified_person_is_in_every_record_with_source_groups_and_end(site: Site) -> None:
    reply = await site.chat(site.login.token(), user="somebody else")
    assert reply.status_code == 200
    for entry in site.entries(reply):
        assert entry.body["end_user"] == site.services.end_users.aliases.of("ann")
        assert entry.body["end_user_from"] == "oidc:corp"
        assert entry.body["end_user_groups"] == ["radiology"]
        assert entry.body["end_user_until_us"] == (NOW + 300) * 1_000_000
        assert "somebody" not in entry.raw.decode()
    intent, _ = site.entries(reply)
    assert site.services.reader.content(intent.seq, "end_user") == b"ann"


async def test_attacks_get_no_answer_and_are_in_the_log_by_their_codes(site: Site) -> None:
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    site.inference.requests.clear()
    size = site.services.reader.size
    wanted: dict[str, int] = {}
    for name, (attack, code) in ATTACKS.items():
        token = attack(site.login)
        if not token.strip() or len(token) > 15_000 or not token.isprintable():
            continue  # a server refuses these heads before; test_tokens.py has them
        reply = await site.chat(token)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, code), name
        wanted[code] = wanted.get(code, 0) + 1
    assert sum(wanted.values()) >= 40 and not site.inference.requests
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    counted = site.services.reader.search(Query(kind="counted", after=size - 1)).entries
    assert [entry.body["codes"] for entry in counted] == [wanted]
    assert (await site.chat(site.login.token())).status_code == 200  # the control


async def test_a_token_is_good_for_the_app_that_brought_it(site: Site) -> None:
    token = site.login.token(jti="one")
    assert (await site.chat(token)).status_code == 200
    stolen = await site.chat(token, strict=True)
    assert (stolen.status_code, stolen.json()["error"]["code"]) == (401, "person_token_replayed")
    assert (await site.chat(token)).status_code == 200


async def test_two_tokens_in_one_request_are_nobodys(site: Site) -> None:
    headers = [("x-end-user-token", site.login.token()), ("x-end-user-token", "x")]
    reply = await site.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert reply.json()["error"]["code"] == "person_token_invalid"


async def test_a_known_token_ends_at_its_end_and_with_its_key(site: Site) -> None:
    token = site.login.token(jti="ends")
    assert (await site.chat(token)).status_code == 200
    site.clock.advance(300)
    assert (await site.chat(token)).json()["error"]["code"] == "person_token_expired"


async def test_a_key_for_people_answers_nobody_else(site: Site) -> None:
    for more in ({}, {"user": "ann"}, {"headers": {"x-end-user": "ann"}}):
        reply = await site.chat(strict=True, **more)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "person_required")
    for path in ("/v1/receipts/req-" + "0" * 32, "/v1/responses/resp_x", "/tokenizer_info"):
        assert (await site.strict.get(path)).json()["error"]["code"] == "person_required"
    for path in ("/v1/models", "/v1/usage"):
        assert (await site.strict.get(path)).status_code == 200
    assert (await site.chat(site.login.token(), strict=True)).status_code == 200


async def test_a_task_for_people_answers_nobody_else_whoever_asks(
    site: Site, opened: Opened
) -> None:
    people, real = site.services.end_users, opened[2].inference
    plain = site.services.keys.authenticate(site.client.headers["authorization"][7:])
    claimed = people.claimed("ann")
    assert claimed is not None
    for who in (plain, people.limited(plain, claimed)):
        with pytest.raises(Forbidden, match=TASK):
            await real.start(Caller(who, "req-x", "", "/"), replace(asked(), model=TASK))
    ann = people.limited(plain, await people.verified(site.login.token(groups=["Board"]), "k"))
    with pytest.raises(NotFound):  # the control: it passes the demand, and there is no such task
        await real.start(Caller(ann, "req-x", "", "/"), replace(asked(), model=TASK))


async def test_a_collection_for_people_is_searched_for_nobody_else(site: Site) -> None:
    people, retrieval = site.services.end_users, site.services.retrieval
    plain = site.services.keys.authenticate(site.client.headers["authorization"][7:])
    query = SearchQuery("vault", "lung", 1, {})
    for ask in (
        retrieval.evidence(plain, query),  # as a task that cites does
        retrieval.search(Caller(plain, "req-x", "", "/"), query),
    ):
        with pytest.raises(Forbidden, match="vault"):
            await ask
    ann = people.limited(plain, await people.verified(site.login.token(jti="6"), "k"))
    with pytest.raises(NotFound):  # the control: there is no such collection
        await retrieval.evidence(ann, query)


async def test_groups_give_models_within_what_the_key_may(site: Site) -> None:
    radiology, board = site.login.token(), site.login.token(groups=["Board"])
    nobody = site.login.token(groups=["radiology", "R\u0430diology", "Radiology "])
    assert (await site.chat(radiology)).status_code == 200
    assert (await site.chat(board)).status_code == 200
    refused = await site.chat(nobody)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    listed = await site.client.get("/v1/models", headers={"x-end-user-token": nobody})
    assert listed.json()["data"] == []
    narrow, secret = site.services.keys.create("narrow", models=["triage"])
    headers = {"authorization": f"Bearer {secret}", "x-end-user-token": site.login.token(jti="2")}
    reply = await site.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert reply.status_code == 404
    site.services.keys.revoke(narrow.id)


async def test_a_refused_person_is_in_the_count(site: Site) -> None:
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    size = site.services.reader.size
    await site.chat(site.login.token(groups=[], sub="eve"))
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    (entry,) = site.services.reader.search(Query(kind="counted", after=size - 1)).entries
    assert entry.body["end_user"] == site.services.end_users.aliases.of("eve")
    assert entry.body["codes"] == {"model_not_found": 1}


async def test_documents_are_read_by_groups_of_people(site: Site) -> None:
    library = site.services.retrieval.library
    library.create("scans", Settings())
    try:
        scan = incoming(
            "scan.txt", "The lung is clear.", access=["people:radiology"], embedded=False
        )
        library.get("scans").collection.put(scan, "p", 1)
        body = {"collection": "scans", "query": "lung"}
        told = []
        for headers in (
            {"x-end-user-token": site.login.token(jti="3")},
            {"x-end-user-token": site.login.token(groups=["Board"], jti="4")},
            {"x-end-user": "ann"},
            {},
        ):
            reply = await site.client.post("/v1/search", json=body, headers=headers)
            told.append(reply.status_code)
        assert told == [200, 404, 404, 404]
        (entry,) = site.services.reader.search(Query(kind="search")).entries
        assert entry.body["end_user_groups"] == ["radiology"]
    finally:
        library.drop("scans")


async def test_an_answer_that_is_kept_is_its_persons(site: Site) -> None:
    ann, bea = site.login.token(jti="5"), site.login.token(sub="bea")
    once = {"idempotency-key": "a-1"}
    first = await site.chat(ann, headers=once)
    again = await site.chat(ann, headers=once)
    other = await site.chat(bea, headers=once)
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert other.headers["x-request-id"] != first.headers["x-request-id"]
    headers = {"x-end-user-token": ann}
    body = {"model": CARD.id, "input": "hi", "store": True}
    kept = (await site.client.post("/v1/responses", json=body, headers=headers)).json()["id"]
    path = f"/v1/responses/{kept}"
    assert (await site.client.get(path, headers=headers)).status_code == 200
    assert (await site.client.get(path, headers={"x-end-user-token": bea})).status_code == 404
    assert (await site.client.get(path)).status_code == 404


async def test_no_login_service_means_no_answer_for_a_token(site: Site) -> None:
    reply = await site.chat(site.login.token(iss="https://other.example"))
    assert reply.json()["error"]["code"] == "person_token_foreign"


async def test_files_and_batches_are_an_apps_own(site: Site) -> None:
    for path in ("/v1/files", "/v1/batches", "/v1/batches/batch_x", "/v1/files/file-x/content"):
        for client, who in ((site.client, "plain"), (site.strict, "strict")):
            headers = {"x-end-user-token": site.login.token(jti=f"{who} {path}")}
            refused = await client.get(path, headers=headers)
            told = (refused.status_code, refused.json()["error"]["code"])
            assert told == (403, "batch_for_person")
        alone = await site.client.get(path)
        assert alone.status_code in (200, 404)


async def test_a_certificate_on_the_connection_is_a_person(site: Site, opened: Opened) -> None:
    cards = opened[3]
    site.shown.certificate = cards.card().public_bytes(Encoding.DER)
    reply = await site.carded.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["error"]["code"] == "model_not_found"  # known, and in no group
    found = await site.services.end_users.certified(site.shown.certificate)
    assert found is not None and found.fields()["end_user_from"] == "certificate:card"
    token = {"x-end-user-token": site.login.token(jti="and a card")}
    both = await site.carded.post("/v1/chat/completions", json=CHAT, headers=token)
    assert (both.status_code, both.json()["error"]["code"]) == (401, "person_token_invalid")


async def test_certificates_that_are_refused_get_no_answer_and_are_in_the_log(
    site: Site, opened: Opened
) -> None:
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    size, wanted = site.services.reader.size, dict[str, int]()
    for name, (make, code) in CARD_ATTACKS.items():
        site.shown.certificate = make(opened[3])
        site.services.end_users._card("card")._looked = float("-inf")  # one has a new list
        reply = await site.carded.post("/v1/chat/completions", json=CHAT)
        code = code or "person_required"  # of a stranger's CA: as if none was shown
        assert reply.json()["error"]["code"] == code, name
        wanted[code] = wanted.get(code, 0) + 1
    assert not site.inference.requests
    await write_counts(site.services.rejected, site.services.audit, everything=True)
    counted = site.services.reader.search(Query(kind="counted", after=size - 1)).entries
    assert [entry.body["codes"] for entry in counted] == [wanted]


async def test_the_rights_of_a_directory_hold_and_are_in_the_record(site: Site) -> None:
    known = site.services.end_users._directory("ad")._known
    names = frozenset({"cn=ward,dc=site"})
    known["ann"] = DirectoryPerson("Ann", names, None, time.monotonic() + 9e9)
    token = site.login.token(iss=WARD)  # its own groups do not count
    reply = await site.chat(token)
    assert reply.status_code == 200
    for entry in site.entries(reply):
        said = {name: value for name, value in entry.body.items() if name.startswith("end_user")}
        assert said.pop("end_user_until_us") == (NOW + 300) * 1_000_000
        assert said == {
            "end_user": site.services.end_users.aliases.of("ann"), "end_user_from": "oidc:ward",
            "end_user_groups": ["ward"], "end_user_groups_from": "ldap:ad",
            "end_user_cost_centre": "4711",
        }  # fmt: skip
    site.services.usage.follow()
    used = site.services.usage.used("cost_centre", "month")
    assert {centre: sums.requests for (_, centre), sums in used.items() if centre} == {"4711": 1}
    for refused, code, status in (
        (("person_disabled", "Closed."), "person_disabled", 403), (None, "people_unavailable", 503),
    ):  # fmt: skip
        known["ann"] = replace(known["ann"], refused=refused, at=time.monotonic())
        if refused is None:
            known.clear()
        reply = await site.chat(token)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_the_record_says_which_directory_told_the_groups() -> None:
    known = EndUser("ann", "oidc:corp", "p-1", groups=frozenset({"b", "a"}), until_us=7)
    told = {"end_user": "p-1", "end_user_from": "oidc:corp", "end_user_groups": ["a", "b"],
            "end_user_until_us": 7}  # fmt: skip
    assert known.fields() == told
    looked_up = replace(known, groups_from="ldap:ad")
    assert looked_up.fields() == {**told, "end_user_groups_from": "ldap:ad"}
