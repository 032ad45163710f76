"""The files of `/people`: off by default, whole paths only, under a policy that allows nothing."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib import resources

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.api.people_page import PATHS, POLICY
from appliance.app import Services
from appliance.config import TlsConfig
from tests.api.conftest import Lan
from tests.parts import having

TYPES = {"/people": "text/html", ".js": "text/javascript", ".css": "text/css",
         ".svg": "image/svg+xml", ".json": "application/json"}  # fmt: skip
FILES = {one.name: one.read_text("utf-8")
         for one in (resources.files("appliance.api") / "people_files").iterdir()}  # fmt: skip
MODULES = {name: text for name, text in FILES.items() if name.endswith(".js")}


@pytest.fixture
async def page(real_services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client(real_services, certificates=False) as made:
        yield made


def client(services: Services, *, certificates: bool) -> httpx.AsyncClient:
    server = replace(services.config.server, people=True)
    tls = TlsConfig(client_ca="tls/clients.pem" if certificates else "")
    config = replace(services.config, server=server, tls=tls)
    app = create_lan_app(having(services, config=config))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lan")


async def test_it_is_off_by_default(lan: Lan) -> None:
    async with lan.anonymous() as anonymous:
        for path in PATHS:
            assert (await anonymous.get(path)).status_code == 401
            assert (await lan.client.get(path)).status_code == 404


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_each_file_comes_without_a_key_and_under_the_policy(
    page: httpx.AsyncClient, path: str
) -> None:
    reply = await page.get(path)
    assert reply.status_code == 200 and reply.content
    kind = TYPES.get(path) or TYPES[path[path.rindex(".") :]]
    assert reply.headers["content-type"].startswith(kind)
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_a_file_is_sent_again_only_where_it_changed(page: httpx.AsyncClient) -> None:
    first = await page.get("/people/page.js")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await page.get("/people/page.js", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == POLICY
    other = await page.get("/people/page.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200
    assert tag != (await page.get("/people/client.js")).headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["/people/", "/people/../app.py", "/people/..%2fapp.py", "/people/%2e%2e/app.py",
     "/people/page.js/", "/people//page.js", "/people/people_page.py", "/people/index.html",
     "/peoplex", "/People", "/people/page.js%00"],
)  # fmt: skip
async def test_nothing_else_is_served_there(page: httpx.AsyncClient, path: str) -> None:
    reply = await page.get(path)
    assert reply.status_code == 401 and "etag" not in reply.headers


async def test_files_are_read_only(page: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await page.request(method, "/people", json={})).status_code == 405


async def test_the_page_knows_if_a_certificate_may_sign_in(
    page: httpx.AsyncClient, real_services: Services
) -> None:
    told = (await page.get("/people/ways.json")).json()
    assert told == {"certificates": False, "logins": []}
    async with client(real_services, certificates=True) as other:
        assert (await other.get("/people/ways.json")).json() == {"certificates": True, "logins": []}


def test_the_policy_names_no_host_and_allows_nothing_inline() -> None:
    assert POLICY.startswith("default-src 'none'") and "frame-ancestors 'none'" in POLICY
    assert "unsafe" not in POLICY and "http" not in POLICY and "data:" not in POLICY


def test_every_file_of_the_package_is_served_and_every_named_one_is_there() -> None:
    served = {path.rpartition("/")[2] for path in PATHS - {"/people", "/people/ways.json"}}
    assert set(FILES) == served | {"index.html"}
    named = set(re.findall(r'(?:src|href)="people/([^"]*)"', FILES["index.html"]))
    for text in MODULES.values():
        named |= set(re.findall(r'from "\./([^"]*)"', text))
    assert named == served


def test_the_page_has_nothing_inline_and_names_no_other_host() -> None:
    page = FILES["index.html"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert "<style" not in page and not re.search(r"\s(?:on\w+|style)=", page)
    for name, text in FILES.items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert "@import" not in text and "url(" not in text


def test_one_module_sends_requests_and_none_makes_markup_of_texts() -> None:
    sending = re.compile(r"\bfetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource")
    assert [name for name, text in MODULES.items() if sending.search(text)] == ["client.js"]
    markup = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function"
        r"|createContextualFragment|srcdoc|javascript:"
    )
    assert not [name for name, text in MODULES.items() if markup.search(text)]
    assert markup.search("place.innerHTML = answer")  # the control


def test_the_key_is_never_kept() -> None:
    kept = re.findall(r"\b(?:local|session)Storage\.(\w+)\(([^)]*)", "".join(MODULES.values()))
    assert {name for name, _ in kept} == {"getItem", "setItem", "removeItem"}
    assert {what for name, what in kept if name == "setItem"} == {
        "KEPT, JSON.stringify(told", "KEPT, JSON.stringify(made", "BEGUN, JSON.stringify(begun",
    }  # fmt: skip
    assert "document.cookie" not in "".join(MODULES.values())
