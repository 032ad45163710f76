"""One connection to a directory: TLS with a pinned CA, one bind, some searches, then its end.

Rules: time and bytes are bounded; no referral is followed, no other certificate accepted.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from appliance.people import ldap_messages as messages
from appliance.people.ldap_messages import DirectoryEntry, DirectoryError, DirectoryResult

MOST_BYTES: Final = 4 << 20
"""Bytes that one session may read."""
PAGE: Final = 200
"""Entries of a page."""


@dataclass(frozen=True)
class ServiceAccount:
    """The account that asks."""

    dn: str
    password: str


class LdapSession:
    """An open connection; make one by `session`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number, self._left = 0, MOST_BYTES

    async def bind(self, account: ServiceAccount) -> None:
        self._number += 1
        self._writer.write(messages.bind(self._number, account.dn, account.password))
        result = await self._answer()
        if not isinstance(result, DirectoryResult) or not result.bound or result.code:
            raise DirectoryError("it refuses our account")

    def unbind(self) -> None:
        """Announce the end; there is no answer."""
        self._writer.write(messages.unbind(self._number + 1))

    async def search(
        self, base: str, wanted: bytes, attributes: Sequence[str], most: int
    ) -> list[DirectoryEntry]:
        """Entries of all pages; the search ends one entry after `most`, which the list has, too."""
        found: list[DirectoryEntry] = []
        cookie, pages = b"", 0
        while pages == 0 or (cookie and len(found) <= most):
            if pages > most:
                raise DirectoryError("it has more pages than it may")
            pages, self._number = pages + 1, self._number + 1
            asked = messages.search(self._number, base, wanted, attributes, PAGE, cookie)
            self._writer.write(asked)
            while not isinstance(answer := await self._answer(), DirectoryResult):
                if answer is not None:
                    found.append(answer)
            if answer.bound or answer.code:
                raise DirectoryError(f"it refuses a search with {answer.code}")
            cookie = answer.cookie
        return found

    async def _answer(self) -> messages.Answer:
        try:
            head = await self._reader.readexactly(2)
            more, size = messages.size_of(head)
            if more:
                size = int.from_bytes(await self._reader.readexactly(more))
            if size > messages.MOST_MESSAGE:
                raise DirectoryError("a message is too long")
            self._left -= size
            if self._left < 0:
                raise DirectoryError("it says more than it may")
            return messages.read(await self._reader.readexactly(size), self._number)
        except EOFError as error:
            raise DirectoryError("it ended the connection") from error


@asynccontextmanager
async def session(
    host: str, port: int, tls: ssl.SSLContext, account: ServiceAccount, seconds: float
) -> AsyncIterator[LdapSession]:
    """Connect and log in; after so many seconds all ends."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname=host, ssl_handshake_timeout=seconds
        )
        try:
            opened = LdapSession(reader, writer)
            await opened.bind(account)
            yield opened
            opened.unbind()
        finally:
            writer.transport.abort()
