"""Things of apps on other appliances: ADR 0092."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.api.errors import error_response
from appliance.api.idempotency import HEADER
from appliance.api.openai.answer import ClientGone, while_connected
from appliance.api.person_gate import CLAIMED, VOUCHED
from appliance.api.transport import secret_of
from appliance.errors import ApplianceError, Unavailable
from appliance.forwarding.receivers import tls_of
from appliance.routing.upstreams.exchange import Exchange

if TYPE_CHECKING:
    from appliance.app import Services

RELAYED: Final = "x-appliance-relayed"
RESPONSES: Final = "/v1/responses"
CREATED: Final = frozenset({"/v1/batches", RESPONSES})
"""A batch is created where its file is, a response where the one is that it continues."""
KINDS: Final = ("/v1/batches/", "/v1/files/", "/v1/conversations/", "/v1/responses/")
CODES: Final = frozenset(
    {"batch_not_found", "file_not_found", "conversation_not_found", "response_not_found"}
)
CONNECT_S: Final = 2.0
IDLE_S: Final = 20.0
ANSWER_S: Final = 600.0
"""Of a response, whose model may compute for long."""
_MOST_BODY: Final = 64 << 10
_SENT: Final = (
    "authorization", "x-api-key", "content-type", "x-client-request-id", HEADER, VOUCHED, CLAIMED,
)  # fmt: skip
_TOLD: Final = (
    b"content-type", b"content-length", b"x-appliance-receipt", b"idempotent-replayed",
)  # fmt: skip
_NOT_THERE: Final = frozenset({401, 403, 404})
_BUSY: Final = 429
_FAULTS: Final = 500
_ABSENT: Final = 404


@dataclass(frozen=True)
class OtherMember:
    """Another appliance; `certificate` as of `SiteMember`."""

    name: str
    url: str
    certificate: str
    tls: Callable[[], ssl.SSLContext | None]


class _Coded(msgspec.Struct):
    code: str | None = None


class _Absence(msgspec.Struct):
    error: _Coded


@dataclass(frozen=True)
class SiteRelay:
    """Asks the others for what is not here."""

    app: ASGIApp
    others: Callable[[], Sequence[OtherMember]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _may_be_elsewhere(scope):
            await self.app(scope, receive, send)
            return
        body, held = bytearray(), list[Message]()

        async def noted() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def holding(message: Message) -> None:
            if held or message.get("status") == _ABSENT:
                held.append(message)
            else:
                await send(message)

        await self.app(scope, noted, holding)
        if held and _code(held) in CODES:
            try:
                if await while_connected(receive, self._relayed(scope, bytes(body), send)):
                    return
            except ClientGone:
                return
        for message in held:
            await send(message)

    async def _relayed(self, scope: Scope, body: bytes, send: Send) -> bool:
        """True if the app has an answer."""
        away = []
        for one in await asyncio.to_thread(self.others):
            try:
                async with _asked(one, scope, body) as exchange:
                    if exchange.status in _NOT_THERE:
                        continue
                    if exchange.status != _BUSY and exchange.status < _FAULTS:
                        await _pass_on(exchange, scope, send)
                        return True
            except _Silent:
                pass
            away.append(one.name)
        if not away:
            return False
        message = f"It is not here, and may be on {', '.join(away)}: no answer."
        silent = Unavailable("member_unreachable", message)
        await error_response(silent)(scope, _nothing, send)
        return True


def others_of(services: "Services") -> list[OtherMember]:
    """The listed peers; blocks."""
    if services.site is None:
        return []

    def other(name: str, certificate: str) -> OtherMember:
        peer = services.config.peers[name]
        secure = peer.url.startswith("https:")
        return OtherMember(
            name, peer.url, certificate, lambda: tls_of(peer, services.data) if secure else None
        )

    listed = services.site.exchange.listed()
    return [other(name, member.certificate) for name, member in listed.items()]


class _Silent(Exception):
    """No answer."""


def _may_be_elsewhere(scope: Scope) -> bool:
    if scope["type"] != "http" or "principal" not in scope["state"]:
        return False
    path, headers, state = scope["path"], Headers(scope=scope), scope["state"]
    named = path.startswith(KINDS) or (scope["method"] == "POST" and path in CREATED)
    certified = state.get("certificate") or state.get("peer_certificate")
    length = headers.get("content-length", "0")
    bounded = "transfer-encoding" not in headers and int(length) <= _MOST_BODY
    return (
        named and bounded and not certified and RELAYED not in headers and bool(secret_of(headers))
    )


def _code(held: Sequence[Message]) -> str | None:
    said = b"".join(message.get("body", b"") for message in held)
    try:
        return msgspec.json.decode(said, type=_Absence).error.code
    except msgspec.DecodeError:
        return None


@asynccontextmanager
async def _asked(one: OtherMember, scope: Scope, body: bytes) -> AsyncIterator[Exchange]:
    """Yields at the answer's head. Raises _Silent."""
    parts, exchange = urlsplit(one.url), Exchange()
    try:
        tls = await asyncio.to_thread(one.tls)
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().create_connection(
                lambda: exchange,
                parts.hostname or "",
                parts.port or (443 if tls else 80),
                ssl=tls,
                server_hostname=parts.hostname if tls else None,
            )
        if one.certificate and exchange.certificate != one.certificate:
            raise _Silent
        exchange.send(_request(parts.netloc, parts.path.rstrip("/"), scope, body))
        async with asyncio.timeout(_patience(scope)):
            await exchange.answered()
    except BaseException as error:
        exchange.close()
        if isinstance(error, OSError | TimeoutError | ApplianceError | _Silent):
            raise _Silent from error
        raise
    try:
        yield exchange
    finally:
        exchange.close()


def _request(host: str, root: str, scope: Scope, body: bytes) -> bytes:
    headers, query = Headers(scope=scope), scope.get("query_string", b"").decode("latin-1")
    target = root + quote(scope["path"]) + (f"?{query}" if query else "")
    lines = {
        "host": host,
        "user-agent": "appliance",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(body)),
        RELAYED: "1",
        **{name: headers[name] for name in _SENT if name in headers},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{scope['method']} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def _patience(scope: Scope) -> float:
    return ANSWER_S if scope["path"] == RESPONSES else IDLE_S


async def _pass_on(exchange: Exchange, scope: Scope, send: Send) -> None:
    head = [(name, exchange.headers[name]) for name in _TOLD if name in exchange.headers]
    if (request := exchange.headers.get(b"x-request-id")) is not None:  # its receipt's
        scope["state"]["request_id"] = request.decode("latin-1")
    await send({"type": "http.response.start", "status": exchange.status, "headers": head})
    loop, patience = asyncio.get_running_loop(), _patience(scope)
    async with asyncio.timeout(patience) as idle:
        async for part in exchange.body():
            idle.reschedule(None)  # a slow client is not a silent appliance
            await send({"type": "http.response.body", "body": part, "more_body": True})
            idle.reschedule(loop.time() + patience)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
