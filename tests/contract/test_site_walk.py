"""A site from the ceremony to a person who is closed out, with the parts that a site has.

SoftHSM is the token of all its people, `oidc-provider` its login service, `slapd` its directory, or
Samba with `SITE_DIRECTORY=samba` (test_active_directory.py). At the end no disk has a private key:
the token's own store stands for the token, and those of the login service and of the directory for
other hosts.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import open_services
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.host import host_key
from appliance.people.directories import HOLDS_S
from tests.conftest import CHECKOUT
from tests.contract import active_directory
from tests.contract.active_directory import BASE, Samba
from tests.contract.conftest import npm_packages
from tests.contract.test_directory import LOCKED, SECRET, Slapd, group, person
from tests.contract.test_login_service import PROVIDER, log_in, login_service
from tests.contract.test_softhsm import TokenSite
from tests.guide_blocks import block
from tests.ports import free_port
from tests.tokens.softhsm import needs_softhsm, soft_token
from tests.wiring.test_protection import secrets_of

pytestmark = [pytest.mark.slow, needs_softhsm]
WORDS = "correct horse battery"
CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 512
slots = 2
[people]
required = ["*"]
[oidc.corp]
issuer = "{issuer}"
audience = "appliance"
keys = "{issuer}/jwks"
directory = "site"
[ldap.site]
kind = "{kind}"
urls = ["{url}"]
ca = "{ca}"
bind = "cn=appliance,{people}"
password = "keys/ldap.password"
base = "{base}"
person = "{person}"
[groups.ward]
names = ["site/cn=Ward,{people}"]
[groups.desk]
names = ["site/cn=Desk,{people}"]
"""
PLAIN = re.compile(
    rb"-----BEGIN (?:EC |RSA |OPENSSH )?PRIVATE KEY"
    rb"|\x02\x01\x00\x30[\x05-\x20]\x06(?:\x07\x2a\x86\x48\xce\x3d\x02\x01|\x03\x2b\x65\x70)"
    rb"|\x30.\x02\x01\x01\x04[\x20\x30\x42]", re.DOTALL
)  # fmt: skip
"""PEM, PKCS #8 of a curve, SEC 1."""


class OpenLdap:
    """Ann and Bea in the ward, Ian at the desk, in slapd."""

    secret = SECRET

    def __init__(self, at: Path) -> None:
        self._slapd = Slapd(at)
        groups = group("Ward", "Ann", "Bea") + group("Desk", "Ian")
        self._slapd.tool("slapadd", person("ian", "Ian") + groups)
        self.running = self._slapd.running
        self.facts = {
            "kind": "openldap", "url": f"ldaps://localhost:{self._slapd.port}", "person": "uid",
            "ca": at / "tls/ca.pem", "base": "dc=site", "people": "dc=site",
        }  # fmt: skip

    def close_ann(self) -> None:
        """While it does not run."""
        change = "dn: cn=Ann,dc=site\nchangetype: modify\nadd: pwdAccountLockedTime\n"
        self._slapd.tool("slapmodify", change + LOCKED)


class ActiveDirectory:
    """The same, in a domain of Samba."""

    secret = active_directory.SECRET

    def __init__(self, at: Path) -> None:
        groups = {"Ward": "ann,bea", "Desk": "ian"}
        self._samba = Samba(at, ("ann", "bea", "ian"), groups)
        self.running = self._samba.running
        self.facts = {
            "kind": "ad", "url": "ldaps://dc1.site.test", "person": "sAMAccountName",
            "ca": at / "private/tls/ca.pem", "base": BASE, "people": f"cn=Users,{BASE}",
        }  # fmt: skip

    def close_ann(self) -> None:
        self._samba.tool("user", "disable", "ann")


def disks(root: Path) -> Iterator[tuple[Path, bytes]]:
    for path in root.rglob("*"):
        top = path.relative_to(root).parts[0]
        if path.is_file() and top not in ("hsm", "login", "ldap") and path.suffix != ".gguf":
            yield path, path.read_bytes()


async def test_from_the_ceremony_to_a_person_who_is_closed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrow_path: Path
) -> None:
    site = TokenSite(tmp_path, soft_token(tmp_path / "hsm", monkeypatch))
    (words := tmp_path / "words").write_text(WORDS)
    (given := tmp_path / "credentials").mkdir()
    (given / host_key.CREDENTIAL).write_text(WORDS)
    for name in ("ldap", "login", "any"):
        (tmp_path / name).mkdir()
    kind = ActiveDirectory if os.environ.get("SITE_DIRECTORY") == "samba" else OpenLdap
    people = kind(tmp_path / "ldap")
    (tmp_path / "login" / "node_modules").symlink_to(npm_packages(PROVIDER) / "node_modules")
    stick, data, artifact = site.published(), tmp_path / "data", tmp_path / "any"
    root = stick / "metadata" / "1.root.json"
    first = ("--root", root, "--fingerprint", hashlib.sha256(root.read_bytes()).hexdigest())
    secret = ("--passphrase-file", words)
    site.run("init", "--profile", "site", *first, "--name", "localhost", *secret, data=data,
             pin=False)  # fmt: skip
    site.run("trust", "update", stick, data=data, pin=False)
    shutil.copyfile(narrow_path, artifact / "model.gguf")
    site.run("artifact", "sign", artifact, "--key", site.key("Paula"))
    site.run("artifact", "import", artifact, data=data, pin=False)
    for name in ("Alice", "Bob"):
        who = ("--as", name, "--key", site.key(name), "--meaning", "fit for use")
        site.run("artifact", "approve", "any", *who, data=data)
    (data / "keys").mkdir(exist_ok=True)
    (data / "keys" / "ldap.password").write_text(people.secret)
    running = contextlib.ExitStack()
    with running, login_service(tmp_path / "login", free_port()) as issuer:
        running.enter_context(people.running())
        tables = CONFIG.format(issuer=issuer, **people.facts)
        (tmp_path / "people.toml").write_text(tables)
        assert [path for path, held in disks(tmp_path) if PLAIN.search(held)]  # the control
        (tmp_path / "ward.txt").write_text("The valve of ward nine opens at 12 bar.")
        (tmp_path / "all.txt").write_text("The valve of the desk opens at 3 bar.")
        settings = data / "appliance.toml"
        settings.write_text(settings.read_text().replace("port = 8080", "port = 0"))
        command = tmp_path / "appliance"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m appliance "$@"\n')
        command.chmod(0o755)
        told = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block("site-guide", "cat people.toml")],
            cwd=tmp_path, capture_output=True, text=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT),
                 "APPLIANCE_DATA": str(data), "WORDS": str(words),
                 "CREDENTIALS_DIRECTORY": str(given)},
        )  # fmt: skip
        host_key.unlock(data, WORDS)
        site.run("serve", "--stop", data=data, pin=False)
        assert told.returncode == 0, told.stderr
        (key,) = re.findall(r"sk-\S+", told.stdout)
        with open_services(data) as services:
            now = 0.0
            directory = services.end_users._directory("site")
            directory._steady = lambda: now
            await services.pool.load("uid:0", "any")
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(create_lan_app(services)), base_url="http://lan",
                headers={"authorization": f"Bearer {key}"},
            )  # fmt: skip

            async def ask(name: str) -> tuple[int | str, set[str]]:
                head = {"x-end-user-token": log_in(issuer, name)} if name else {}
                chat = {"model": "any", "max_tokens": 8,
                        "messages": [{"role": "user", "content": "Count to three."}]}  # fmt: skip
                reply = await client.post("/v1/chat/completions", json=chat, headers=head)
                found = await client.post("/v1/search", headers=head, json={
                    "collection": "manuals", "query": "when does the valve open"})  # fmt: skip
                if reply.status_code != 200:
                    assert found.status_code == reply.status_code
                    return reply.json()["error"]["code"], set()
                return 200, {one["document"] for one in found.json()["data"]}

            assert await ask("ann") == await ask("bea") == (200, {"ward.txt", "all.txt"})
            assert await ask("ian") == (200, {"all.txt"})
            assert await ask("") == ("person_required", set())
            assert await ask("zoe") == ("person_unknown", set())
            running.close()
            people.close_ann()
            running.enter_context(people.running())
            now = HOLDS_S - 1
            assert (await ask("ann"))[0] == 200
            now = HOLDS_S
            assert await ask("ann") == ("person_disabled", set())
            assert (await ask("bea"))[0] == (await ask("ian"))[0] == 200
            for name, times in (("ann", 2), ("bea", 2), ("ian", 2)):
                asked = Query(kind="intent", end_user=services.end_users.aliases.of(name))
                assert len(services.reader.search(asked).entries) == times
            scalars = {form for forms in secrets_of(data).values() for form in forms}
            await services.supervisor.close()
            await client.aclose()
    assert verify_log(data / "audit").ok
    left = {
        path
        for path, held in disks(tmp_path)
        if PLAIN.search(held) or people.secret.encode() in held or any(s in held for s in scalars)
    }
    assert left == set() and len(scalars) > 12
    host_key.lock(data)
