"""`/docs`: the OpenAPI document as a page that people read and try, without internet.

Rules: page, script and style come from here only, to which the content security policy holds the
browser; the page holds no site data and no key. Swagger UI (Apache-2.0) is in the package
`fastapi_offline`.
"""

from importlib import resources
from typing import Final

import fastapi_offline
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>appliance: the LAN API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# No validator: it is a host on the internet. Nothing is kept in the browser: a key is a secret.
_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
});
"""
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page may load from here and send here only."""

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "max-age=3600",
}
_PATH: Final = "/docs"
_SCRIPTS: Final = ("start.js", "swagger-ui-bundle.js")
_STYLES: Final = ("swagger-ui.css",)
PATHS: Final = frozenset({_PATH, *(f"{_PATH}/{name}" for name in (*_SCRIPTS, *_STYLES))})
"""The page and its files."""


def docs_routes() -> list[Route]:
    """The routes of `PATHS`; the files are read once."""
    pages = [_route(_PATH, _PAGE, "text/html")]
    pages += [_route(f"{_PATH}/{name}", _content(name), "text/javascript") for name in _SCRIPTS]
    return pages + [_route(f"{_PATH}/{name}", _content(name), "text/css") for name in _STYLES]


def _content(name: str) -> bytes:
    if name == "start.js":
        return _START
    return (resources.files(fastapi_offline) / "static" / name).read_bytes()


def _route(path: str, content: bytes, kind: str) -> Route:
    async def page(_: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return Route(path, page)
