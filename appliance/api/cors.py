"""Answers that pages of named other origins may read (CORS).

Rules: none unless the configuration names the whole origin; never with the browser's own
credentials, so that only a page that was given a key can use it; a preflight needs no key.

Source: the Fetch standard, CORS protocol.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.api.quota_headers import ANTHROPIC_NAMES, NAMES

_SENT: Final = b"authorization, content-type, x-api-key"
_SDK: Final = re.compile(
    rb"x-stainless-[a-z0-9-]+|openai-(?:beta|organization|project)|user-agent|prefer|traceparent"
    rb"|anthropic-(?:beta|version|dangerous-direct-browser-access)|idempotency-key"
    rb"|x-(?:client-)?request-id|mcp-(?:method|name|protocol-version)"
)
"""Headers that SDKs send."""
_READ: Final = ", ".join(
    (
        "x-request-id", "x-appliance-profile", "x-appliance-receipt", "retry-after",
        "x-should-retry", "request-id", "x-client-request-id", "traceparent",
        "idempotent-replayed", *NAMES, *ANTHROPIC_NAMES,
    )
).encode()  # fmt: skip
_MOST_NAMES: Final = 4096  # bytes
_AGE_S: Final = b"600"


@dataclass(frozen=True)
class CorsGate:
    """Answers preflights of named origins, and marks the answers that their pages may read."""

    app: ASGIApp
    origins: Set[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" and self.origins else None
        origin = headers.get("origin") if headers is not None else None
        if headers is None or origin is None or origin not in self.origins:
            await self.app(scope, receive, send)
            return
        allowed = (b"access-control-allow-origin", origin.encode("latin-1"))
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await send(_preflight(allowed, headers))
            await send({"type": "http.response.body", "body": b""})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [allowed, (b"access-control-expose-headers", _READ), (b"vary", b"Origin")]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self.app(scope, receive, marked)


def _preflight(allowed: tuple[bytes, bytes], headers: Headers) -> Message:
    asked = headers.get("access-control-request-headers", "").encode("latin-1")[:_MOST_NAMES]
    names = sorted({name.strip().lower() for name in asked.split(b",")})
    described = [name for name in names if _SDK.fullmatch(name)]
    return {
        "type": "http.response.start",
        "status": 204,
        "headers": [
            allowed,
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", b", ".join([_SENT, *described])),
            (b"access-control-max-age", _AGE_S),
            (b"vary", b"Origin, Access-Control-Request-Headers"),
        ],
    }
