"""A domain controller of Samba; run in namespaces of its own, as root.

The ports of a directory are fixed, so it has a network of its own.

usage: unshare --net --uts --mount --pid --fork --kill-child --mount-proc   python -m
tests.contract.active_directory DIRECTORY
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.clock import SystemClock
from appliance.config import LdapConfig
from appliance.errors import ApplianceError
from appliance.people.directories import HOLDS_S, PeopleDirectory
from tests.forwarding.test_forwarder import until

BASE, SECRET = "DC=site,DC=test", "Passw0rd.of.tests"
PROVISION = (
    "domain", "provision", "--realm=SITE.TEST", "--domain=SITE", "--server-role=dc",
    "--dns-backend=NONE", f"--adminpass={SECRET}", "--host-name=dc1", "--host-ip=127.0.0.1",
    "--option=interfaces=lo", "--option=bind interfaces only=yes",
)  # fmt: skip
MEMBERS = {"Board": "ann", "Staff": "Board,bea", "Everything": "Staff"}
ASKED = ("ann", "ANN", "bea", "eve", "*", "nobody")


def run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True)


def listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 636)) == 0


class Samba:
    """A domain with these people, groups and their members."""

    def __init__(self, at: Path, people: Sequence[str], groups: Mapping[str, str]) -> None:
        self._made = ("-s", at / "etc" / "smb.conf")
        (at / "hosts").write_text("127.0.0.1 localhost dc1 dc1.site.test\n")
        run("mount", "--bind", at / "hosts", "/etc/hosts")
        run("ip", "link", "set", "lo", "up")
        run("hostname", "dc1")
        run("samba-tool", *PROVISION, f"--targetdir={at}", f"--option=posix:eadb={at}/eadb.tdb")
        for name in (*people, "appliance"):
            self.tool("user", "create", name, SECRET)
        for group, members in groups.items():
            self.tool("group", "add", group)
            self.tool("group", "addmembers", group, members)

    def tool(self, *command: str) -> None:
        run("samba-tool", *command, *self._made)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its other processes end with the namespace, or when it is stopped."""
        with subprocess.Popen(
            ["samba", "-i", "-M", "single", *map(str, self._made)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as samba:  # fmt: skip
            try:
                until(lambda: listens() or samba.poll() is not None)
                yield
            finally:
                samba.terminate()


async def look_up(at: Path, samba: Samba) -> dict[str, list[str] | str]:
    (at / "password").write_text(SECRET)
    config = LdapConfig(
        urls=("ldaps://dc1.site.test",), ca=str(at / "private" / "tls" / "ca.pem"),
        bind=f"CN=appliance,CN=Users,{BASE}", password=str(at / "password"), base=BASE,
    )  # fmt: skip
    now = 0.0
    directory = PeopleDirectory("ad", config, Path("/"), SystemClock(), lambda: now)

    async def told(name: str) -> list[str] | str:
        try:
            found, _ = await directory.find(f"{name}@site.test")
        except ApplianceError as error:
            return error.code
        return sorted(found.groups)

    answers = {name: await told(name) for name in ASKED}
    samba.tool("user", "disable", "ann")
    answers["before"] = await told("ann")
    now = HOLDS_S
    return {**answers, "after": await told("ann")}


def main(at: Path) -> None:
    samba = Samba(at, ("ann", "bea", "eve"), MEMBERS)
    samba.tool("user", "disable", "eve")
    with samba.running():
        sys.stdout.write(json.dumps(asyncio.run(look_up(at, samba))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
