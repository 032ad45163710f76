"""The JSON of a request's body: one meaning, or refused.

Rules:
- UTF-8; no key twice in an object; no half of a surrogate pair anywhere, which neither the log nor
  a model can take. The refusal names the place.
- An endpoint that takes request, body and caller alone is called without the framework's costly
  search for parameters.
"""

import asyncio
import gc
import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, get_args, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.api.deps import caller_of, services_of
from appliance.api.errors import place_name
from appliance.api.idempotency import HEADER, Handler, once
from appliance.api.large_bodies import SMALL, check_messages, check_values
from appliance.errors import BadRequest
from appliance.text import visible
from appliance.wire.openai.characters import half_pair

_TAKEN: Final = {"request", "body", "caller"}
T = TypeVar("T")
V = TypeVar("V")
_MAY_SPELL_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonRoute(APIRoute):
    """A route whose body is read by `parsed`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = _direct(self) or super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await _handled(handle, request.scope, request.receive)

        return handle_strictly

    def plain(self) -> ASGIApp | None:
        """The route as an app without the framework; None where the endpoint needs it."""
        handle = _direct(self)
        if handle is None:
            return None

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await _handled(handle, scope, receive)
            await response(scope, receive, send)

        return answer


async def _handled(handle: Handler, scope: Scope, receive: Receive) -> Response:
    read = _JsonRequest(scope, receive)
    return await (once(read, handle) if HEADER in read.headers else handle(read))


def _direct(route: APIRoute) -> Handler | None:
    """The handler; None where it needs the framework."""
    endpoint, hints = route.endpoint, get_type_hints(route.endpoint)
    given = hints.pop("return", None)
    responses = all(
        isinstance(one, type) and issubclass(one, Response) for one in get_args(given) or (given,)
    )
    if not responses or route.dependencies or hints.keys() != _TAKEN:
        return None
    model: type[BaseModel] = hints["body"]

    async def handle(request: Request) -> Response:
        try:
            value = await request.json()
            body = await computed(request, model.model_validate, value)
        except ValidationError as error:
            told = [
                {**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)
            ]
            raise RequestValidationError(told) from error
        except ClientDisconnect as error:
            raise HTTPException(400) from error
        found: Response = await endpoint(
            request=request, body=body, caller=await caller_of(request)
        )
        return found

    return handle


async def computed(request: Request, make: Callable[[V], T], value: V) -> T:
    """`make` a value, outside of the loop where the request is large."""
    large = len(await request.body()) > SMALL
    return await asyncio.to_thread(make, value) if large else make(value)


class _JsonRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        principal = self.scope["state"]["principal"]
        await self.app.state.large_bodies.turn(principal.key_id, len(body))
        if len(body) <= SMALL:
            value = parsed(body)
            self._note(value)
            return value
        value = await asyncio.to_thread(_checked, body)  # the loop serves others meanwhile
        self._note(value)
        check_messages(value, services_of(self).pool, principal)
        return value

    def _note(self, value: Any) -> None:
        model = value.get("model") if isinstance(value, dict) else None
        if isinstance(model, str):
            note_model(self, model)


def note_model(request: Request, model: str) -> None:
    """Note a model's id for the log line; an unknown one is a text."""
    services = services_of(request)
    if (
        services.store.inventory.knows(model)
        or model in services.upstreams.all
        or services.pointers.newest(model) is not None
    ):
        request.scope["state"]["model"] = model


class _Twice(ValueError):
    pass


def parsed(body: bytes) -> Any:
    """The value of a JSON text (`invalid_json`; `invalid_value` for half of a surrogate pair)."""
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique)
    except _Twice as error:
        key = visible(str(error), limit=100)
        raise BadRequest(
            "invalid_json", f"The key {key} occurs twice in one object.", param=key
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("invalid_json", "The body is not one JSON object in UTF-8.") from error
    if _MAY_SPELL_HALF.search(body) and (place := half_pair(value)) is not None:
        name = place_name(place) or "body"
        what = "the text has half of a surrogate pair, which is no character"
        raise BadRequest("invalid_value", f"{name}: {what}.", param=name)
    return value


def parsed_at_once(body: bytes) -> Any:
    """`parsed`, with the garbage collector off: to scan lists as they are made takes longer."""
    if not gc.isenabled():  # another body is read, and will turn it on
        return parsed(body)
    gc.disable()
    try:
        return parsed(body)
    finally:
        gc.collect(1)  # now they are old; what the server began with is frozen
        gc.enable()


def _checked(body: bytes) -> Any:
    check_values(body)
    return parsed_at_once(body)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _Twice(next(key for key, count in counts.items() if count > 1))
    return table
