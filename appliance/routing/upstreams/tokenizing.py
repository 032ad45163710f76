"""Tokenisers of upstreams, where the kind of engine offers them.

Rules: rights and record are those of any request to the upstream, since the text leaves: a hop
before it is sent, and its end. One host is asked once.
"""

import asyncio
import contextlib

from appliance.engine.protocol import Tokens
from appliance.errors import ApplianceError, BadRequest, Unavailable
from appliance.routing.upstreams import kinds
from appliance.routing.upstreams.backend import UpstreamBackend, is_fault, surprised
from appliance.routing.upstreams.backends import UpstreamBackends
from appliance.routing.upstreams.connection import Connection
from appliance.routing.upstreams.events import Spelt, TokenIds
from appliance.routing.upstreams.exchange import invalid
from appliance.types import GenerationRequest, Json, JsonValue, ModelCard, Principal


class UpstreamTokenizers:
    """Tokenisers of the approved upstreams."""

    def __init__(self, backends: UpstreamBackends) -> None:
        self._backends = backends
        self.slots = backends.slots

    def cards(self) -> list[ModelCard]:
        return [card for card in self._backends.cards() if card.upstream]

    async def tokens(
        self, principal: Principal, request: GenerationRequest, *, special: bool, strings: bool
    ) -> Tokens:
        """Tokens of a prompt or of messages, or the text of tokens.

        Raises:
            BadRequest: `upstream_unsupported`, `upstream_rejected`; else as `UpstreamBackend`.
        """
        backend = self._backends.backend(request.model)
        upstream = backend.upstream
        if upstream.kind.tokenize is None:
            message = f"The tokeniser of {upstream.name!r} is on another host; ask that host."
            raise BadRequest("upstream_unsupported", message, param="model")
        kinds.check(upstream.kind, request)
        backend.check(principal)
        return await _asked(backend, request, special=special, strings=strings)


async def _asked(
    backend: UpstreamBackend, request: GenerationRequest, *, special: bool, strings: bool
) -> Tokens:
    upstream = backend.upstream
    host = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(upstream.config.idle_seconds):
            host = await upstream.chosen(request.request_id.encode())
    if host is None:
        message = f"No host of {upstream.name} can be asked now."
        raise Unavailable("upstream_unavailable", message)
    about: dict[str, Json] = {**backend.about(host, request), "hop": 1, "asks": "tokens"}
    await backend.record({**about, "event": "sent"})
    upstream.begin(host)
    try:
        told = await _told(host.connection, backend, request, special=special, strings=strings)
    except Exception as error:
        known = error if isinstance(error, ApplianceError) else surprised(error)
        if is_fault(known):
            upstream.failed(host, known)
        await backend.record({**about, "event": "failed", "code": known.code})
        raise
    except asyncio.CancelledError:
        await backend.record({**about, "event": "cancelled"})
        raise
    finally:
        upstream.end(host)
    await backend.record({**about, "event": "answered"})
    return told


async def _told(
    connection: Connection,
    backend: UpstreamBackend,
    request: GenerationRequest,
    *,
    special: bool,
    strings: bool,
) -> Tokens:
    kind, model = backend.upstream.kind, backend.upstream.config.model
    if request.tokens is not None:
        ids: dict[str, JsonValue] = {"model": model, "tokens": request.tokens}
        return Tokens(0, [], (await connection.ask("/detokenize", ids, Spelt)).text)
    if request.messages is not None and kind.templates:
        turns = kinds.conversation(kind, model, request)
        prompt = (await connection.ask(kind.templates, turns, Spelt)).text
        request, special = GenerationRequest(request.model, prompt=prompt), True
    asked = kinds.tokenized(kind, model, request, special=special, strings=strings)
    told = await connection.ask("/tokenize", asked, TokenIds)
    spelt = told.strings if strings else []
    if strings and len(spelt) != len(told.tokens):
        raise invalid("it tells not the text of each token")
    if any(one < 0 for one in told.ids):
        raise invalid("a token has no number")
    return Tokens(0, told.ids, strings=spelt)
