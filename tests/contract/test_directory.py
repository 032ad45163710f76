"""A real directory, `slapd` of Debian: people, nested groups, closed accounts, pages, an outage."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.auth import certificates
from appliance.clock import SystemClock
from appliance.config import LdapConfig
from appliance.errors import ApplianceError
from appliance.people.directories import HOLDS_S, DirectoryPerson, PeopleDirectory
from appliance.people.ldap_messages import folded
from tests.conftest import need_tool
from tests.forwarding.test_forwarder import until
from tests.ports import free_port

CONFIG = """\
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/nis.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
TLSCACertificateFile {at}/tls/ca.pem
TLSCertificateFile {at}/tls/server.pem
TLSCertificateKeyFile {at}/tls/server.key
database mdb
suffix "dc=site"
directory {at}/db
overlay ppolicy
limits dn.exact="cn=appliance,dc=site" size.prtotal=unlimited
access to attrs=userPassword by anonymous auth
access to * by dn.exact="cn=appliance,dc=site" read
"""
PEOPLE = """\
dn: dc=site
objectClass: dcObject
objectClass: organization
dc: site
o: site

dn: cn=appliance,dc=site
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: appliance
userPassword: a secret of the tests

dn: ou=elsewhere,dc=site
objectClass: referral
objectClass: extensibleObject
ref: ldaps://evil.example/dc=site
"""
SECRET = "a secret of the tests"


def person(name: str, shown: str, more: str = "") -> str:
    return (
        f"\ndn: cn={shown},dc=site\nobjectClass: inetOrgPerson\ncn: {shown}\nsn: x\nuid: {name}\n"
        f"displayName: {shown}\n{more}"
    )


def group(name: str, *members: str) -> str:
    listed = "".join(f"member: cn={one},dc=site\n" for one in members)
    return f"\ndn: cn={name},dc=site\nobjectClass: groupOfNames\ncn: {name}\n{listed}"


LOCKED = "pwdAccountLockedTime: 000001010000Z\n"
ENTRIES = "".join((
    PEOPLE, person("ann", "Ann"), person("bea", "Bea"), person("eve", "Eve", LOCKED),
    person("two", "Two"), person("two", "Zwei"), person("all", "All groups"),
    person("*", "A star"),
    group("Staff", "Ann", "Bea", "Board"), group("Board", "Bea", "Circle"),
    group("Circle", "Staff"),
    *(group(f"g{n}", "All groups") for n in range(700)),
))  # fmt: skip


class Slapd:
    def __init__(self, at: Path) -> None:
        self.at, self.program = at, Path(need_tool("slapd")).resolve()
        self.port = free_port()
        certificates.issue(at / "tls", ["localhost"], SystemClock())
        (at / "db").mkdir()
        root = self.program.parents[2]
        text = CONFIG.format(root="" if root == Path("/") else root, at=at)
        (at / "conf").write_text(text)
        self.tool("slapadd", ENTRIES)
        (at / "password").write_text(SECRET)

    def tool(self, name: str, entries: str) -> None:
        (self.at / "ldif").write_text(entries)
        command = [str(self.program.with_name(name)), "-f", str(self.at / "conf")]
        subprocess.run([*command, "-l", str(self.at / "ldif")], check=True, capture_output=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [str(self.program), "-d", "0", "-f", str(self.at / "conf"),
                   "-h", f"ldaps://localhost:{self.port}"]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                until(lambda: self._listens() or process.poll() is not None)
                yield
            finally:
                process.kill()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def config(self) -> LdapConfig:
        return LdapConfig(
            kind="openldap", urls=(f"ldaps://localhost:{self.port}",),
            ca=str(self.at / "tls/ca.pem"), bind="cn=appliance,dc=site",
            password=str(self.at / "password"),
            base="dc=site", person="uid",
        )  # fmt: skip


def named(*groups: str) -> frozenset[str]:
    return frozenset(folded(f"cn={one},dc=site") for one in groups)


async def test_people_of_a_real_directory(tmp_path: Path) -> None:
    slapd, now = Slapd(tmp_path), 0.0
    people = PeopleDirectory("site", slapd.config(), Path("/"), SystemClock(), lambda: now)

    async def told(name: str) -> DirectoryPerson | str:
        try:
            return (await people.find(name))[0]
        except ApplianceError as error:
            return error.code

    async def groups(name: str) -> frozenset[str]:
        found = await told(name)
        assert isinstance(found, DirectoryPerson), found
        return found.groups

    with slapd.running():
        everything = named("Staff", "Board", "Circle")  # Staff is in Circle, and so in itself
        assert await groups("ann") == everything == await groups("bea")
        assert await groups("*") == frozenset()
        assert len(await groups("all")) == 700
        found = {name: await told(name) for name in ("eve", "two", "nobody", "a*", "an\u043d")}
        assert found == {
            "eve": "person_disabled", "two": "person_unknown", "nobody": "person_unknown",
            "a*": "person_unknown", "an\u043d": "person_unknown",
        }  # fmt: skip
    now += HOLDS_S
    assert await groups("ann") == everything  # it is away, and she was known
    assert await told("jo") == "people_unavailable"
    slapd.tool("slapmodify", "dn: cn=Ann,dc=site\nchangetype: modify\nadd: pwdAccountLockedTime\n"
               "pwdAccountLockedTime: 000001010000Z\n")  # fmt: skip
    with slapd.running():
        now += HOLDS_S
        assert await told("ann") == "person_disabled"
        assert await groups("bea") == everything
        (slapd.at / "password").write_text("another")
        now += HOLDS_S
        assert await groups("bea") == everything  # our account is refused: the grace
        now += 900
        assert await told("bea") == "people_unavailable"
