"""A directory of the tests, which answers well, or as an attacker wants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.auth.certificates import issue, server_context
from appliance.clock import SystemClock
from appliance.config import LdapConfig
from appliance.people import ldap_messages
from appliance.people.ldap_messages import BerElement

ACCOUNT, PASSWORD, BASE = "cn=appliance,dc=site", "a secret of the tests", "dc=site"
ANN, BEA = "cn=Ann,ou=people,dc=site", "cn=Bea,ou=people,dc=site"
BOARD, STAFF, ALL = (f"cn={name},ou=groups,dc=site" for name in ("Board", "Staff", "All"))
Entry = Mapping[str, list[Any]]
Said = Callable[[int, int], Iterable[bytes]]
"""Makes answers out of the number and the tag of a request."""


def ber(tag: int, *parts: bytes) -> bytes:
    """An element, with a length of four bytes as Active Directory writes it."""
    body = b"".join(parts)
    return bytes([tag, 0x84]) + len(body).to_bytes(4) + body


def message(number: int, *parts: bytes) -> bytes:
    return ber(0x30, ber(2, number.to_bytes(2)), *parts)


def result(number: int, tag: int, code: int = 0, *more: bytes) -> bytes:
    return message(number, ber(tag, ber(10, bytes([code])), ber(4), ber(4)), *more)


def bound(number: int, code: int = 0) -> bytes:
    return result(number, 0x61, code)


def done(number: int, code: int = 0, cookie: bytes = b"") -> bytes:
    value = ber(0x30, ber(2, b"\0"), ber(4, cookie))
    control = ber(0x30, ber(4, b"1.2.840.113556.1.4.319"), ber(4, value))
    return result(number, 0x65, code, ber(0xA0, control))


def entry(number: int, dn: str | bytes, attributes: Entry) -> bytes:
    listed = [
        ber(0x30, ber(4, name.encode()), ber(0x31, *(ber(4, raw(one)) for one in values)))
        for name, values in attributes.items()
    ]
    return message(number, ber(0x64, ber(4, raw(dn)), ber(0x30, *listed)))


def raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def group(*members: str) -> Entry:
    return {"member": list(members)}


def person(name: str, **more: Any) -> Entry:
    return {
        "objectCategory": ["person"], "userPrincipalName": [name], "displayName": [name.title()],
        "userAccountControl": ["512"], "accountExpires": ["0"], **more,
    }  # fmt: skip


def people() -> dict[str, Entry]:
    return {
        ANN: person("ann"), BEA: person("bea"), BOARD: group(ANN), STAFF: group(BEA),
        ALL: group(BOARD, STAFF),
    }  # fmt: skip


@dataclass
class FakeDirectory:
    """A server over TLS.

    Attributes:
        said: replaces its answer to a search, or to the bind too where `from_the_start`.
        searches: values of the filters of all searches.
    """

    at: Path
    entries: dict[str, Entry] = field(default_factory=people)
    said: Said | None = None
    from_the_start: bool = False
    searches: list[bytes] = field(default_factory=list)
    binds: int = 0
    asked: int = 0
    page: int = 3
    url: str = ""
    _server: asyncio.Server | None = None

    def config(self, **changes: Any) -> LdapConfig:
        (self.at / "password").write_text(PASSWORD)
        return LdapConfig(**{
            "urls": (self.url,), "ca": str(self.at / "tls" / "ca.pem"), "bind": ACCOUNT,
            "password": str(self.at / "password"), "base": BASE, **changes,
        })  # fmt: skip

    @asynccontextmanager
    async def running(
        self, name: str = "localhost", *, tls: bool = True
    ) -> AsyncIterator["FakeDirectory"]:
        if not (self.at / "tls").exists():
            issue(self.at / "tls", [name], SystemClock())
        await self.start(tls=tls)
        try:
            yield self
        finally:
            self.stop()

    async def start(self, *, tls: bool = True) -> None:
        """Listen, at the same port as before."""
        context = server_context(self.at / "tls" / "server.pem", self.at / "tls" / "server.key")
        port = int(self.url.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=context if tls else None
        )
        self.url = f"ldaps://localhost:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(2)
                more, size = ldap_messages.size_of(head)
                size = int.from_bytes(await reader.readexactly(more)) if more else size
                for one in self._answers(await reader.readexactly(size)):
                    writer.write(one)
                    await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def _answers(self, data: bytes) -> Iterable[bytes]:
        said, operation, *controls = ldap_messages._elements(data)
        number = int.from_bytes(said.body)
        if operation.tag == 0x42:
            return ()
        self.asked += operation.tag == 0x63
        if self.said is not None and (self.from_the_start or operation.tag == 0x63):
            return self.said(number, operation.tag)
        if operation.tag == 0x60:
            self.binds += 1
            _, name, password = ldap_messages._elements(operation.body)
            good = (name.body, password.body) == (ACCOUNT.encode(), PASSWORD.encode())
            return (bound(number, 0 if good else 49),)
        return self._found(number, ldap_messages._elements(operation.body)[6], controls)

    def _found(
        self, number: int, wanted: BerElement, controls: list[BerElement]
    ) -> Iterable[bytes]:
        """A page of the entries that match, and the number of the first of the next as cookie."""
        first = int(ldap_messages._cookie(controls[0]) or b"0")
        found = [dn for dn, held in self.entries.items() if self._matches(wanted, dn, held)]
        for dn in found[first : first + self.page]:
            shown = {n: v for n, v in self.entries[dn].items() if n != "member"}
            yield entry(number, dn, shown)
        after = first + self.page
        yield done(number, cookie=str(after).encode() if after < len(found) else b"")

    def _matches(self, wanted: BerElement, dn: str, held: Entry) -> bool:
        parts = ldap_messages._elements(wanted.body)
        if wanted.tag in (0xA0, 0xA1):
            each = [self._matches(one, dn, held) for one in parts]
            return all(each) if wanted.tag == 0xA0 else any(each)
        value = parts[-1].body
        if value not in self.searches:
            self.searches.append(value)
        attribute = parts[-2].body.decode()
        values = [raw(one).lower() for one in held.get(attribute, ())]
        if wanted.tag == 0xA3:
            return value.lower() in values
        return self._above(value.decode().lower(), dn, set())

    def _above(self, low: str, dn: str, seen: set[str]) -> bool:
        """True if a group has this member, also by nested groups."""
        if dn in seen:
            return False
        members = [str(one) for one in self.entries.get(dn, {}).get("member", ())]
        return low in [one.lower() for one in members] or any(
            self._above(low, one, {*seen, dn}) for one in members
        )


OPEN: Final = {
    "objectCategory": ["person"], "uid": ["ann"], "displayName": ["Ann"],
}  # fmt: skip
"""A person as OpenLDAP has one."""
