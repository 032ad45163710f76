"""One session with a directory: pages, its bounds, and its end."""

import ssl
from pathlib import Path

import pytest

from appliance.auth.certificates import pinned
from appliance.people import ldap_session
from appliance.people.ldap_messages import DirectoryError, equal
from appliance.people.ldap_session import LdapSession, ServiceAccount, session
from tests.people.directory import ACCOUNT, ANN, BASE, PASSWORD, FakeDirectory, group

GROUPS = {f"cn=g{n},dc=site": group(ANN) for n in range(10)}


def tls(fake: FakeDirectory) -> ssl.SSLContext:
    return pinned(fake.at, "tls/ca.pem", "", "")


async def listed(fake: FakeDirectory, most: int) -> int:
    async def ask(opened: LdapSession) -> int:
        return len(await opened.search(BASE, equal("member", ANN), ("1.1",), most))

    account = ServiceAccount(ACCOUNT, PASSWORD)
    port = int(fake.url.rpartition(":")[2])
    async with session("localhost", port, tls(fake), account, 30) as opened:
        return await ask(opened)


async def test_pages_bounds_and_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeDirectory(tmp_path, GROUPS).running() as fake:
        assert [await listed(fake, most) for most in (100, 10, 9, 4)] == [10, 10, 10, 6]
        monkeypatch.setattr(ldap_session, "MOST_BYTES", 300)
        with pytest.raises(DirectoryError, match="more than it may"):
            await listed(fake, 100)
        with pytest.raises(DirectoryError, match="refuses our account"):
            async with session(
                "localhost", int(fake.url.rpartition(":")[2]), tls(fake),
                ServiceAccount(ACCOUNT, "another"), 30,
            ):  # fmt: skip
                pass
