"""The lines of batches, asked of the routes' own handlers without a connection.

Only the layers before a route are skipped.
"""

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import Message, Scope

from appliance.api.errors import install_error_handlers
from appliance.api.large_bodies import LargeBodies
from appliance.api.observe import Observer
from appliance.api.openai import chat, completions, embeddings, responses
from appliance.api.transport import NO_TELEMETRY, RequestContext
from appliance.batches.lines import LineReply
from appliance.batches.running import LineCall
from appliance.types import ClientIds

if TYPE_CHECKING:
    from appliance.app import Services


class BatchLines:
    """Asks single lines.

    Args:
        large_bodies: where large ones take turns with those of the network.
    """

    def __init__(self, services: "Services", observer: Observer, large_bodies: LargeBodies) -> None:
        context = Middleware(
            RequestContext, profile=services.profile, answered=observer.answered
        )  # fmt: skip
        self._app = FastAPI(
            openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
            telemetry=NO_TELEMETRY, middleware=[context],
        )  # fmt: skip
        self._app.state.services, self._app.state.large_bodies = services, large_bodies
        install_error_handlers(self._app)
        self._app.router.routes.extend(_routes())

    async def ask(self, line: LineCall) -> LineReply:
        """Ask one; a cancellation leaves nothing running."""
        status, headers, body = 500, dict[str, str](), bytearray()
        unread = [{"type": "http.request", "body": line.body, "more_body": False}]

        async def receive() -> Message:
            if unread:
                return unread.pop()
            await asyncio.Event().wait()  # the connection never ends
            raise RuntimeError

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.update((k.decode(), v.decode()) for k, v in message["headers"])
            body.extend(message.get("body", b""))

        await self._app(_scope(line), receive, send)
        return LineReply(status, headers, bytes(body))


@functools.cache
def _routes() -> Sequence[BaseRoute]:
    made = APIRouter()
    for module in (chat, completions, embeddings, responses):
        made.include_router(module.router)
    return made.routes


def _scope(line: LineCall) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": line.url,
        "raw_path": line.url.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(line.body)).encode()),
        ],
        "client": None,
        "server": None,
        "state": {
            "principal": line.principal,
            "request_id": line.request_id,
            "client": ClientIds(x_client_request_id=line.batch),
        },
    }
