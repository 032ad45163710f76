"""The port of Prometheus: the metrics of the admin socket, over TLS, with a bearer token or a
client certificate.

Rules: one path; states, counts and names of models and upstreams, never apps, texts or addresses.
"""

import asyncio
import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.api.admin.metrics import exposition
from appliance.api.admin.roles import role_table
from appliance.api.errors import error_response
from appliance.app import Services
from appliance.auth.secret_file import read_secret
from appliance.errors import NotFound, Unauthenticated
from appliance.observability.metrics import CONTENT_TYPE


@dataclass(frozen=True)
class ScrapeApp:
    """An ASGI app; `token` is "" where certificates alone open it."""

    services: Services
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._may(scope):
            client = scope.get("client")
            self.services.rejected.note(client[0] if client else "", "invalid_api_key")
            refused = Unauthenticated(
                "invalid_api_key", "A token or a client certificate opens it."
            )
            await error_response(refused)(scope, receive, send)
        elif scope["path"] != "/metrics" or scope["method"] not in ("GET", "HEAD"):
            missing = NotFound("not_found", "Metrics are at GET /metrics.")
            await error_response(missing)(scope, receive, send)
        else:
            unknown = tuple(role_table(self.services.config.roles).unresolved)
            text = await asyncio.to_thread(exposition, self.services, unknown)
            await Response(text, media_type=CONTENT_TYPE)(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        if scope.get("state", {}).get("certificate") is not None:
            return True
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        said = given.strip().encode() if scheme.lower() == "bearer" else b""
        return bool(self.token) and hmac.compare_digest(said, self.token.encode())


def scrape_app(services: Services) -> ScrapeApp:
    """The app with the token of the configuration."""
    return ScrapeApp(services, read_secret(services.data, services.config.metrics.token))
