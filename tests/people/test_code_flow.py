"""Codes of a login service: exchanged once, only for a token of this sign-in."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from appliance.clock import FixedClock
from appliance.config import Config
from appliance.errors import ApplianceError
from appliance.people.code_flow import BroughtCode, CodeFlow
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from tests.people.login import Login

BROUGHT = BroughtCode("corp", "the-code", "v" * 43, "n" * 22, "https://here.example/people")


class TokenEndpoint:
    """A login service's address for codes, which keeps the received forms."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.answer: tuple[int, bytes] = (200, b"{}")
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told.forms.append(parse_qs(body.decode()))
                status, document = told.answer
                self.send_response(status)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    made = TokenEndpoint()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(30)


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path / "keys.json")


@pytest.fixture
def flow(login: Login, endpoint: TokenEndpoint) -> CodeFlow:
    config: Config = login.site(authorize="https://login.example/auth", token=endpoint.url)
    people = EndUsers(config, Path("/"), Aliases(lambda: b"s"), FixedClock())
    return CodeFlow(config.oidc, Path("/"), people)


def gives(login: Login, **claims: Any) -> tuple[int, bytes]:
    """The answer with a token of the person, of this sign-in unless the claims say otherwise."""
    token = login.token(**{"nonce": BROUGHT.nonce, **claims})
    return 200, json.dumps({"id_token": token, "access_token": "x"}).encode()


async def test_a_code_becomes_the_person_and_the_verifier_goes_with_it(
    login: Login, flow: CodeFlow, endpoint: TokenEndpoint
) -> None:
    endpoint.answer = gives(login)
    person, token = await flow.sign_in(BROUGHT, "k1")
    assert token.count(".") == 2
    assert (person.subject, person.source, person.verified) == ("ann", "oidc:corp", True)
    (form,) = endpoint.forms
    assert form == {
        "grant_type": ["authorization_code"], "code": ["the-code"], "client_id": ["appliance"],
        "code_verifier": ["v" * 43], "redirect_uri": ["https://here.example/people"],
    }  # fmt: skip


async def refused(flow: CodeFlow, brought: BroughtCode = BROUGHT) -> str:
    with pytest.raises(ApplianceError) as caught:
        await flow.sign_in(brought, "k1")
    return caught.value.code


async def test_what_is_no_token_of_this_sign_in_is_refused(
    login: Login, flow: CodeFlow, endpoint: TokenEndpoint
) -> None:
    cases: list[tuple[tuple[int, bytes], str]] = [
        (gives(login, nonce="another"), "person_token_invalid"),
        (gives(login, nonce=None), "person_token_invalid"),
        (gives(login, aud="other-app"), "person_token_foreign"),
        ((400, b'{"error": "invalid_grant"}'), "person_token_invalid"),
        ((500, b""), "people_unavailable"),
        ((302, b""), "people_unavailable"),
        ((200, b"{}"), "people_unavailable"),
        ((200, b"[" * 10_000), "people_unavailable"),
        ((200, b'{"id_token": 5}'), "people_unavailable"),
    ]
    for endpoint.answer, code in cases:
        assert await refused(flow) == code, endpoint.answer
    asked = len(endpoint.forms)
    elsewhere = msgspec.structs.replace(BROUGHT, login="nowhere")
    assert await refused(flow, elsewhere) == "person_token_foreign"
    assert len(endpoint.forms) == asked


async def test_a_service_that_is_away_is_told(login: Login) -> None:
    config = login.site(authorize="https://login.example/auth", token="http://127.0.0.1:1/token")
    people = EndUsers(config, Path("/"), Aliases(lambda: b"s"), FixedClock())
    assert await refused(CodeFlow(config.oidc, Path("/"), people)) == "people_unavailable"


async def test_a_service_without_a_page_to_sign_in_takes_no_code(
    login: Login, endpoint: TokenEndpoint
) -> None:
    config = login.site()
    people = EndUsers(config, Path("/"), Aliases(lambda: b"s"), FixedClock())
    assert await refused(CodeFlow(config.oidc, Path("/"), people)) == "person_token_foreign"
    assert endpoint.forms == []
