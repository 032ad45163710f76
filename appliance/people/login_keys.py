"""The public keys of a login service, out of a file or from its address on the LAN.

Rules: read when needed, at most once per refresh, or for an unknown id once in ten seconds. TLS
with a pinned CA, no redirect, bounded in size and time. Known keys outlive the service for the
grace.
"""

import asyncio
import contextlib
import http.client
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from appliance.auth import certificates
from appliance.config import OidcConfig
from appliance.errors import ApplianceError, Unauthenticated, Unavailable
from appliance.people import tokens
from appliance.people.tokens import PublicKey

MOST_BYTES: Final = 256 << 10
SECONDS: Final = 3.0
"""Time for all of an answer."""
_AGAIN_S: Final = 10.0
_CHUNK: Final = 16 << 10
_logger = logging.getLogger("appliance.people")


@dataclass(frozen=True)
class KeysRead:
    """The keys, their bytes, and the steady time of their reading, in seconds."""

    keys: Mapping[str, PublicKey]
    data: bytes
    at: float


class OtherStatus(ConnectionError):
    """A login service answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the login service answered {status}")
        self.status = status


class LoginKeys:
    """The keys of one login service.

    Attributes:
        problem: why they could not be read at the last try; "" where they could.

    Args:
        steady: seconds of a clock that does not jump.
    """

    def __init__(
        self,
        name: str,
        config: OidcConfig,
        data: Path,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._config, self._data, self._steady = name, config, data, steady
        self._known = KeysRead({}, b"", float("-inf"))
        self._tried = float("-inf")
        self._reading = asyncio.Lock()
        self.problem = ""

    async def find(self, kid: str) -> PublicKey:
        """The key of an id.

        `person_token_invalid` where there is none; `people_unavailable` where keys cannot be read
        for longer than the grace.
        """
        await self._read_if_due(self._config.refresh_seconds, kid)
        if kid not in self._known.keys:
            await self._read_if_due(_AGAIN_S, kid)
        if not self._good():
            message = f"The keys of the login service {self._name} cannot be read."
            raise Unavailable("people_unavailable", message)
        found = self._known.keys.get(kid)
        if found is None:
            message = "The token of the person: its login service has no such key."
            raise Unauthenticated("person_token_invalid", message)
        return found

    def _good(self) -> bool:
        return self._steady() - self._known.at <= self._config.grace_minutes * 60

    async def _read_if_due(self, seconds: float, kid: str) -> None:
        """Read the keys if the last try is older; those without a good key wait for a read."""
        waits = self._reading.locked() and not (self._good() and kid in self._known.keys)
        if self._steady() - self._tried < seconds and not waits:
            return
        async with self._reading:
            if self._steady() - self._tried < seconds:
                return
            self._tried = self._steady()
            try:
                async with asyncio.timeout(2 * SECONDS):  # a name server may hang, too
                    data = await asyncio.to_thread(self._fetch)
                same = data == self._known.data  # then what was verified under them still is
                keys = self._known.keys if same else tokens.key_set(data, MOST_BYTES)
                self._known = KeysRead(keys, data, self._steady())
                self.problem = ""
            except (OSError, ApplianceError) as error:
                self.problem = str(error) or type(error).__name__
                _logger.warning("the keys of %s were not read: %s", self._name, error)

    def _fetch(self) -> bytes:
        url = self._config.keys
        if not url.startswith(("https://", "http://")):
            with (self._data / url).open("rb") as file:
                return _bounded(file.read)
        return asked(self._config, self._data, url)


def asked(config: OidcConfig, data: Path, url: str, form: Mapping[str, str] | None = None) -> bytes:
    """The body of a login service's answer; a form is posted.

    Raises OSError for none in time, or another one than 200; `certificate_unusable`.
    """
    parts = urlsplit(url)
    host, end = parts.hostname or "", time.monotonic() + SECONDS
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = certificates.pinned(data, config.ca, "", "")
        connection = http.client.HTTPSConnection(host, parts.port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
    headers = {"Accept": "application/json"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    with contextlib.closing(connection):
        try:
            method, body = ("GET", None) if form is None else ("POST", urlencode(form))
            connection.request(method, parts.path or "/", body, headers)
            with connection.getresponse() as answer:
                if answer.status != 200:
                    raise OtherStatus(answer.status)
                return _bounded(answer.read1, end)
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {type(error).__name__}") from error


def _bounded(read: Callable[[int], bytes], end: float = float("inf")) -> bytes:
    """Everything, up to the most and until the end."""
    parts, size = list[bytes](), 0
    while part := read(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise ConnectionError(f"it is larger than {MOST_BYTES} bytes")
        if time.monotonic() > end:
            raise TimeoutError(f"it took longer than {SECONDS:g} seconds")
    return b"".join(parts)
