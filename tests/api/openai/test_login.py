"""`POST /v1/sessions/login`: there only where it is switched on, and for verified people alone."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.api.openai import login
from appliance.api.openai.sessions import LOGIN
from appliance.app import Services
from appliance.config import Config, OidcConfig, PeopleConfig
from appliance.errors import ApplianceError, Unauthenticated
from appliance.people.end_users import EndUsers
from appliance.types import EndUser
from tests.api.conftest import Lan, keys_end_here
from tests.api.fake import FakeInference, FakeSupervisor, with_fakes
from tests.parts import having
from tests.people.login import Vouching

LOGINS = {"corp": OidcConfig("i", "page", "k", authorize="https://login.example/auth")}
BODY = {"login": "corp", "code": "c", "verifier": "v" * 43, "nonce": "n" * 22, "redirect": "r"}


class _Knowing(EndUsers):
    """Takes a name for a token; `gone` have been removed."""

    gone: set[str]

    async def verified(self, token: str, app: str) -> EndUser:
        del app
        if token in self.gone:
            raise Unauthenticated("person_token_expired", "The person is gone.")
        return EndUser(token, "oidc:corp", f"alias of {token}", until_us=1 << 52)


@pytest.fixture
def config(real_services: Services) -> Config:
    return replace(
        real_services.config,
        server=replace(real_services.config.server, people=True),
        people=PeopleConfig(page_key="page"),
        oidc=LOGINS,
    )


@pytest.fixture
def known(real_services: Services, config: Config) -> _Knowing:
    aliases, clock = real_services.end_users.aliases, real_services.clock
    made = _Knowing(config, real_services.data, aliases, clock)
    made.gone = set()
    return made


@pytest.fixture
async def page(
    real_services: Services, config: Config, known: _Knowing
) -> AsyncIterator[httpx.AsyncClient]:
    faked = with_fakes(real_services, FakeInference(real_services.audit), FakeSupervisor(["ready"]))
    services = having(faked, config=config, end_users=known)
    app = create_lan_app(services)
    app.state.code_flow = Vouching({}, services.data, known)
    transport = httpx.ASGITransport(app)
    with keys_end_here(services.keys):
        async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
            yield client


async def signed_in(page: httpx.AsyncClient, name: str) -> dict[str, str]:
    told = (await page.post(LOGIN, json={**BODY, "code": name})).json()
    assert told.get("name") == name, told
    return {"authorization": f"Bearer {told['token']}"}


async def test_it_is_not_there_by_default(lan: Lan) -> None:
    async with lan.anonymous() as client:
        assert (await client.post(LOGIN, json=BODY)).status_code == 401
    assert (await lan.client.post(LOGIN, json=BODY)).status_code == 404


async def test_who_signs_in_is_the_person_of_the_session_whatever_a_header_says(
    page: httpx.AsyncClient, real_services: Services
) -> None:
    real_services.keys.create("page", person=True)
    ann, bea = await signed_in(page, "ann"), await signed_in(page, "bea")
    for headers in (ann, {**ann, "x-end-user": "bea"}):
        told = (await page.get("/v1/labels", headers=headers)).json()
        assert told["rater"] == "oidc:corp/ann"
    assert (await page.delete("/v1/sessions", headers=ann)).json()["ended"] == 1
    assert (await page.get("/v1/labels", headers=ann)).status_code == 401
    assert (await page.get("/v1/labels", headers=bea)).status_code == 200
    named = (await page.get("/people/ways.json")).json()["logins"]
    assert named == [{"name": "corp", "authorize": "https://login.example/auth", "client": "page"}]


async def test_who_is_removed_has_no_session_any_more(
    page: httpx.AsyncClient, real_services: Services, known: _Knowing
) -> None:
    real_services.keys.create("page", person=True)
    ann = await signed_in(page, "ann")
    assert (await page.get("/v1/labels", headers=ann)).status_code == 200
    known.gone.add("ann")
    assert (await page.get("/v1/labels", headers=ann)).status_code == 401


async def test_a_person_sees_their_own_requests_under_the_shared_key(
    page: httpx.AsyncClient, real_services: Services
) -> None:
    real_services.keys.create("page", person=True)
    ann, bea = await signed_in(page, "ann"), await signed_in(page, "bea")
    body = {"model": "org/echo:1", "input": "Hi"}
    asked = (await page.post("/v1/responses", headers=ann, json=body)).headers["x-request-id"]
    mine = [(await page.get("/v1/requests", headers=one)).json()["data"] for one in (ann, bea)]
    assert [[one["id"] for one in some] for some in mine] == [[asked], []]


@pytest.mark.parametrize("person", [None, False])
async def test_a_key_that_is_not_for_verified_people_lets_none_in(
    page: httpx.AsyncClient, real_services: Services, person: bool | None
) -> None:
    if person is not None:
        real_services.keys.create("page", person=person)
    reply = await page.post(LOGIN, json=BODY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "people_unavailable")
    with pytest.raises(ApplianceError, match="appliance key new"):
        login.key_of_page(having(real_services, config=replace(
            real_services.config, people=PeopleConfig(page_key="page")
        )))  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"verifier": "short"}, {"nonce": ""}, {"code": ""}, {"more": 1}, {"login": 5}]
)
async def test_what_does_not_fit_is_refused(
    page: httpx.AsyncClient, change: dict[str, object]
) -> None:
    reply = await page.post(LOGIN, json={**BODY, **change})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_value")
