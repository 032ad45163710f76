"""Tokens of a real login service, `oidc-provider` of npm: people log in, an app passes them on."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from appliance.clock import SystemClock
from appliance.config import Config, OidcConfig, PeopleGroupConfig
from appliance.errors import ApplianceError
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from appliance.types import Principal
from tests.conftest import need_tool
from tests.contract.conftest import npm_packages
from tests.ports import free_port

PROVIDER = Path(__file__).parent / "oidc"
BACK = "https://app.example/cb"


@contextmanager
def login_service(
    directory: Path, port: int, seconds: int = 300, page: str = BACK
) -> Iterator[str]:
    """The service with keys of its own; its address. It sends people of `page` back there."""
    program = directory / "provider.mjs"
    program.write_bytes((PROVIDER / program.name).read_bytes())
    command = [need_tool("node"), str(program), str(port), str(seconds), page]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            child.kill()


def log_in(issuer: str, person: str, client: str = "appliance") -> str:
    """The ID token of a person, by the authorization code flow, as a browser does it."""
    with httpx.Client() as browser:
        asked = {"client_id": client, "response_type": "code", "scope": "openid", "state": "s",
                 "redirect_uri": BACK, "nonce": "n"}  # fmt: skip
        reply = browser.get(f"{issuer}/auth", params=asked)
        forms = [{"prompt": "login", "login": person, "password": "any"}, {"prompt": "consent"}]
        while not (to := reply.headers.get("location", "")).startswith(BACK):
            if to:
                reply = browser.get(urljoin(issuer, to))
                continue
            reply = browser.post(str(reply.url), data=forms.pop(0))
        code = parse_qs(urlsplit(to).query)["code"][0]
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
                 "client_id": client}  # fmt: skip
        return str(browser.post(f"{issuer}/token", data=given).json()["id_token"])


def appliance(issuer: str, audience: str = "appliance") -> EndUsers:
    login = OidcConfig(issuer=issuer, audience=audience, keys=f"{issuer}/jwks", refresh_seconds=10)
    groups = {
        "radiology": PeopleGroupConfig(("corp/Radiology",), ("triage",)),
        "board": PeopleGroupConfig(("corp/Board",), ("minutes",)),
    }
    config = Config(oidc={"corp": login}, groups=groups)
    return EndUsers(config, Path("/"), Aliases(lambda: b"s"), SystemClock())


async def refusal(people: EndUsers, token: str) -> str:
    with pytest.raises(ApplianceError) as refused:
        await people.verified(token, "k1")
    return refused.value.code


async def test_people_of_a_login_service(tmp_path: Path) -> None:
    port, app = free_port(), Principal("k1", "app")
    (tmp_path / "node_modules").symlink_to(npm_packages(PROVIDER) / "node_modules")
    with login_service(tmp_path, port) as issuer:
        people = appliance(issuer)
        may = {}
        for name in ("ann", "bea", "eve"):
            person = await people.verified(log_in(issuer, name), "k1")
            assert (person.subject, person.name) == (name, f"Name of {name}")
            limited = people.limited(app, person)
            may[name] = [m for m in ("triage", "minutes", "other") if limited.may_use(m)]
        assert may == {"ann": ["triage"], "bea": ["triage", "minutes"], "eve": []}
        older = log_in(issuer, "ann", "older")  # RS256, and for another audience
        assert await refusal(people, older) == "person_token_foreign"
        assert (await appliance(issuer, "older").verified(older, "k1")).subject == "ann"
        before = log_in(issuer, "ann")
    with login_service(tmp_path, port, seconds=3_600) as issuer:  # the same, with other keys
        fresh = appliance(issuer)
        assert await refusal(fresh, before) == "person_token_invalid"
        assert await refusal(fresh, log_in(issuer, "ann")) == "person_token_lifetime"
    away = appliance(f"http://127.0.0.1:{port}")
    assert await refusal(away, before) == "people_unavailable"
