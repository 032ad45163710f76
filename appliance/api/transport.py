"""Checks of an HTTP exchange before any route: request id, key, size and type.

Rules:
- Default deny: a path that is not listed as public needs a key.
- The size limit holds while a body arrives.
- `%2F` in a path is part of a name and no slash.
"""

import re
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Final, NoReturn
from urllib.parse import unquote

from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance import draws
from appliance.api.dialect import speaks_anthropic
from appliance.api.errors import error_response
from appliance.api.identity import named_by_client, told_back
from appliance.errors import BadRequest, RequestRefused, TooLarge, Unauthenticated, Unavailable
from appliance.observability.unexpected import unexpected
from appliance.text import visible
from appliance.types import Principal

_WITH_BODY: Final = ("POST", "PUT", "PATCH", "DELETE")
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"
_SLASH: Final = re.compile(rb"%2[fF]")
NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""For `FastAPI(telemetry=…)`: otherwise an environment variable makes it send data out."""


@dataclass(frozen=True)
class RequestContext:
    """Outermost: names the request, tags every answer (`x-request-id`, `x-appliance-profile`), and
    turns a crash into our 500.

    Args:
        answered: gets scope, status and the steady time of the beginning of each answer.
        probes: paths that answer HEAD as GET.
        told: more headers of an answer, from the scope of its request.
        meant: the address that a client means by one.
    """

    app: ASGIApp
    profile: str
    answered: Callable[[Scope, int, float], None] | None = None
    probes: Set[str] = frozenset()
    told: Callable[[Scope], list[tuple[bytes, bytes]]] = lambda scope: []
    meant: Callable[[str], str] = lambda path: path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _keep_escaped_slashes(scope)
        scope["path"] = self.meant(scope["path"])
        if scope["method"] == "HEAD" and scope["path"] in self.probes:
            scope = {**scope, "method": "GET"}  # the server keeps the body back
        state = scope.setdefault("state", {})
        request_id = state.setdefault("request_id", draws.request_id())
        state.setdefault("client", named_by_client(scope["headers"]))
        started, begun = False, time.monotonic()

        async def tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self.answered is not None:
                    self.answered(scope, message["status"], begun)
                message["headers"] = [*message.get("headers", ()), *self._tags(scope)]
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        except Exception as error:
            known = unexpected(error, request_id)
            if started:
                _cut_off()
            await error_response(known)(scope, receive, tagged)

    def _tags(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        state = scope["state"]
        request_id = state["request_id"].encode()  # of an answer that is given again, its first
        return [
            (b"x-request-id", request_id),
            (b"x-appliance-profile", self.profile.encode()),
            *([(b"request-id", request_id)] if speaks_anthropic(scope["path"]) else ()),
            *told_back(state["client"]),
            *self.told(scope),
        ]


@dataclass(frozen=True)
class KeyGate:
    """Lets a request pass that has a valid key, or a public path.

    Args:
        authenticate: the holder of a secret; raises Unauthenticated.
        by_certificate: the holder of a client certificate, by its SHA-256, where no secret came.
    """

    app: ASGIApp
    authenticate: Callable[[str], Principal]
    public: Set[str]
    by_certificate: Callable[[bytes], Principal] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self.public:
            try:
                scope["state"]["principal"] = self._principal(scope)
            except (Unauthenticated, Unavailable) as refused:
                await error_response(refused)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _principal(self, scope: Scope) -> Principal:
        secret = secret_of(Headers(scope=scope))
        certificate = scope["state"].get("certificate")
        if not secret and certificate is not None and self.by_certificate is not None:
            return self.by_certificate(certificate)
        return self.authenticate(secret)


@dataclass(frozen=True)
class BodyGate:
    """Refuses bodies that are too large or not JSON by their type.

    Args:
        there: True of a method and path that a route has; elsewhere the type makes no difference.
        forms: paths of POST that take a form in place of JSON, and its largest size.
    """

    app: ASGIApp
    max_bytes: int
    there: Callable[[str, str], bool] = lambda method, path: True
    forms: Mapping[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        form = self.forms.get(scope["path"]) if scope["method"] == "POST" else None
        most, kind = self.max_bytes, _JSON
        if form is not None:
            most, kind = form, _FORM
        refused = self._refusal(Headers(scope=scope), most, kind)
        if refused is not None and (
            refused.code != "unsupported_media_type"
            or (scope["method"] in _WITH_BODY and self.there(scope["method"], scope["path"]))
        ):
            await error_response(refused)(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > most:
                    raise _too_large(most)
            return message

        await self.app(scope, limited, send)

    def _refusal(self, headers: Headers, most: int, expected: str) -> RequestRefused | None:
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal():
            return BadRequest("invalid_value", "content-length is not a number.")
        if len(length) > 18 or int(length) > most:
            return _too_large(most)
        if int(length) == 0 and "transfer-encoding" not in headers:
            return None
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            named = f"Content-Encoding {visible(coding, limit=40)}"
            what = f"{named} is not taken; send the body as it is."
            return BadRequest("unsupported_media_type", what, param="content-encoding")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != expected:
            return BadRequest("unsupported_media_type", f"Content-Type must be {expected}.")
        return None


def _too_large(most: int) -> TooLarge:
    return TooLarge("request_too_large", f"The body is larger than {most} bytes.")


def _keep_escaped_slashes(scope: Scope) -> None:
    raw = scope.get("raw_path") or b""
    if _SLASH.search(raw):
        scope["path"] = unquote(_SLASH.sub(b"%252F", raw).decode("latin-1"))


def secret_of(headers: Headers) -> str:
    """The secret out of `Authorization: Bearer` or, without one, `x-api-key`."""
    bearer, plain = headers.getlist("authorization"), headers.getlist("x-api-key")
    if len(bearer) > 1 or len(plain) > 1:
        raise Unauthenticated("invalid_api_key", "More than one header names an API key.")
    scheme, _, value = bearer[0].partition(" ") if bearer else ("", "", "")
    if scheme.lower() == "bearer":
        return value.strip()
    return plain[0].strip() if plain else ""


def _cut_off() -> NoReturn:
    """End an answer: the server closes the connection on any exception."""
    raise RuntimeError("the answer was cut off") from None
