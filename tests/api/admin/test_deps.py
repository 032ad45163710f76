"""Every route of the admin app needs a role, and the role is the peer's."""

import contextlib
import http.client
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.deps import RoleNeeded
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.config import Config, LdapConfig, PeopleGroupConfig, RolesConfig
from appliance.people.directories import DirectoryPerson
from tests.api.admin.lab import LabData

NOBODY = 65_534
ASK = """
import http.client, json, os, socket, sys
uid, method, path, body, at = sys.argv[1:]
os.setgroups([])
os.setresgid(int(uid), int(uid), int(uid))
os.setresuid(int(uid), int(uid), int(uid))
connection = http.client.HTTPConnection("appliance")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(at)
connection.request(method, path, body or None, {"content-type": "application/json"} if body else {})
answer = connection.getresponse()
print(json.dumps([answer.status, json.loads(answer.read().splitlines()[0])]))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def without_role(app: FastAPI) -> list[str]:
    return [
        str(context.path)
        for context in iter_route_contexts(app.routes)
        if not any(isinstance(call, RoleNeeded) for call in _asked_of(context.original_route))
    ]


def _asked_of(route: object) -> set[object]:
    """What a route depends on; nothing for what is not a route of FastAPI's."""
    if not isinstance(route, APIRoute):
        return set()
    return {needed.call for needed in route.dependant.dependencies}


def ask(
    socket_path: Path, method: str, path: str, body: str = "", *, uid: int = NOBODY
) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ASK, str(uid), method, path, body, str(socket_path)],
        capture_output=True,
        check=True,
    )
    status, answer = json.loads(done.stdout)
    return status, answer


@contextlib.contextmanager
def open_to_all(services: Services) -> Iterator[Path]:
    """The admin app on a socket that every user can reach."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        with serve_in_thread(create_admin_app(services), path):
            path.chmod(0o666)
            path.parent.chmod(0o755)
            yield path


def test_every_route_needs_a_role(services: Services) -> None:
    app = create_admin_app(services)
    assert len(list(iter_route_contexts(app.routes))) > 15
    assert without_role(app) == []


def test_a_route_without_a_role_is_found() -> None:
    router = APIRouter()
    router.get("/open")(lambda: None)
    app = FastAPI(openapi_url=None)
    app.include_router(router)
    assert without_role(app) == ["/open"]


async def test_a_caller_without_a_peer_is_denied(services: Services) -> None:
    transport = httpx.ASGITransport(create_admin_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.get("/admin/status")
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert error["code"] == "forbidden"
    assert error["hint"]


@as_root
def test_another_user_is_denied(services: Services) -> None:
    with open_to_all(services) as path:
        status, answer = ask(path, "GET", "/admin/status")
        assert (status, answer["error"]["code"]) == (403, "forbidden")
        status, answer = ask(path, "GET", "/admin/status", uid=0)  # the control
        assert (status, answer["role"]) == (200, "admin")


@as_root
def test_a_header_does_not_change_who_calls(services: Services) -> None:
    with open_to_all(services) as path:
        connection = http.client.HTTPConnection("appliance")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/admin/status", headers={"x-forwarded-for": "1.2.3.4"})
        assert json.loads(connection.getresponse().read())["role"] == "admin"
        connection.close()


@as_root
def test_a_configured_user_may_do_what_the_role_may(lab: LabData) -> None:
    config = Config(roles=RolesConfig(viewer=(str(NOBODY),)))
    with open_services(lab.data, config=config) as services, open_to_all(services) as path:
        status, answer = ask(path, "GET", "/admin/status")
        assert (status, answer["role"]) == (200, "viewer")
        status, answer = ask(path, "POST", "/admin/keys", '{"name": "app"}')
        assert (status, answer["error"]["code"]) == (403, "forbidden")
        status, answer = ask(path, "POST", "/admin/models/x/load", "")
        assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert services.keys.list() == ()


@as_root
def test_the_owner_of_the_data_directory_is_an_admin(lab: LabData) -> None:
    os.chown(lab.data, NOBODY, NOBODY)
    with open_services(lab.data) as services, open_to_all(services) as path:
        status, answer = ask(path, "GET", "/admin/status")
    assert (status, answer["role"]) == (200, "admin")


@as_root
def test_with_a_directory_only_its_people_have_a_role(lab: LabData) -> None:
    roles = RolesConfig(viewer=(str(NOBODY),), operator=("people:it",), directory="ad")
    groups = {"it": PeopleGroupConfig(("ad/cn=IT,dc=site",))}
    config = Config(roles=roles, ldap={"ad": LdapConfig()}, groups=groups)
    name = pwd.getpwuid(NOBODY).pw_name
    with open_services(lab.data, config=config) as services, open_to_all(services) as path:
        known = services.end_users._directory("ad")._known

        def told(refused: tuple[str, str] | None, *names: str) -> str:
            known[name] = DirectoryPerson("", frozenset(names), refused, time.monotonic() + 9e9)
            status, answer = ask(path, "GET", "/admin/status")
            return str(answer["role"] if status == 200 else answer["error"]["code"])

        assert told(None) == "viewer"
        assert told(None, "cn=it,dc=site") == "operator"
        assert ask(path, "POST", "/admin/upstreams/reload", "")[0] == 200
        newest = services.reader.newest_of(("admin",))
        did = services.reader.entry(newest).body
        who = services.end_users.aliases.of(name)
        assert (did["actor"], did["end_user"], did["end_user_from"]) == (
            f"uid:{NOBODY}", who, "ldap:ad")  # fmt: skip
        mine = services.reader.search(Query(end_user=who)).entries
        assert newest in [entry.seq for entry in mine]
        assert ask(path, "POST", "/admin/upstreams/reload", "", uid=0)[0] == 200
        assert "end_user" not in services.reader.entry(services.audit.size - 1).body
        assert told(("person_disabled", "It is closed.")) == "person_disabled"
        known.clear()
        status, answer = ask(path, "GET", "/admin/status")  # it cannot be asked
        assert (status, answer["error"]["code"]) == (503, "people_unavailable")
        assert ask(path, "GET", "/admin/status", uid=0)[1]["role"] == "admin"
