"""`/people`: a page on which people ask, label and answer, where the configuration switches it on.

Rules: static files, found by whole paths; the page calls the LAN API with a session of a person's
key. By the content policy it loads from and sends to here only, runs no inline script and makes no
markup of texts.
"""

import hashlib
from importlib import resources
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.config import Config

_PAGE: Final = "/people"
_WAYS: Final = f"{_PAGE}/ways.json"
_KINDS: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript",
                 "svg": "image/svg+xml"}  # fmt: skip
_FILES: Final = ("page.css", "icon.svg", "client.js", "elements.js", "proof.js", "page.js")
PATHS: Final = frozenset({_PAGE, _WAYS, *(f"{_PAGE}/{name}" for name in _FILES)})
"""The page and its files, which need no key; what they call does."""
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",  # kept, and asked for again by its digest
}


class _OfferedLogin(msgspec.Struct):
    name: str
    authorize: str
    client: str


class _Ways(msgspec.Struct):
    """Ways to sign in besides a key."""

    certificates: bool
    logins: list[_OfferedLogin]


def people_routes(config: Config) -> list[Route]:
    """The routes of `PATHS`; the files are read once."""
    files = resources.files("appliance.api") / "people_files"
    ways = msgspec.json.encode(_ways(config))
    named = [(_PAGE, "index.html"), *((f"{_PAGE}/{name}", name) for name in _FILES)]
    found = [
        _route(path, (files / name).read_bytes(), _KINDS[name.rpartition(".")[2]])
        for path, name in named
    ]
    return [*found, _route(_WAYS, ways, "application/json")]


def _ways(config: Config) -> _Ways:
    named = config.oidc.items() if config.people.page_key else ()
    logins = [
        _OfferedLogin(name, one.authorize, one.audience) for name, one in named if one.authorize
    ]
    return _Ways(bool(config.tls.client_ca), logins)


def _route(path: str, content: bytes, kind: str) -> Route:
    headers = {**_HEADERS, "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

    async def file(request: Request) -> Response:
        known = request.headers.get("if-none-match", "").split(",")
        if headers["etag"] in (one.strip().removeprefix("W/") for one in known):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return Route(path, file)
