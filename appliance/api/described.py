"""Additions to the OpenAPI document: every status of an operation, errors, headers, both forms of
the key.
"""

from typing import Any, Final

from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPBearer

from appliance.wire.anthropic.reply import MessageErrorReply
from appliance.wire.openai.errors import ErrorResponse
from appliance.wire.openai.queue import QueueItem

Responses = dict[int | str, dict[str, Any]]

_REQUEST_ID: Final = {
    "x-request-id": {
        "description": "The id of the request in the audit log and in `/v1/receipts/`.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req-[0-9a-f]{32}$"},
    }
}
_RETRY: Final = {
    "retry-after": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_PLACE: Final = "[0-9]+ [0-9a-f]{64} [0-9]+"
_RECEIPT: Final = {
    "x-appliance-receipt": {
        "description": "`<seq> <leaf hash> <checkpoint size>` of the outcome in the audit log;"
        " on streams of the intent. Of several prompts or texts one each, with commas between.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{_PLACE}(, {_PLACE})*$"},
    }
}


def _error(description: str, **headers: Any) -> dict[str, Any]:
    return {
        "model": ErrorResponse,
        "description": description,
        "headers": {**_REQUEST_ID, **headers},
    }


# "default" also keeps the framework from describing its own 422, which is never sent.
ANY: Final[Responses] = {"default": _error("Every error has this shape.")}
PROBED: Final[Responses] = {**ANY, 503: _error("Not now.", **_RETRY)}
KEYED: Final[Responses] = {
    **ANY,
    400: _error("The request cannot be honoured; `param` names the field at fault."),
    401: _error("There is no valid API key."),
    404: _error("There is no such thing for this key."),
    413: _error("The body is too large."),
    415: _error("The body is not `application/json`."),
    429: _error("A limit of the key or of the server is reached.", **_RETRY),
    500: _error("A fault of the server."),
    503: _error("Not now: the model, the audit log or the server is not ready.", **_RETRY),
}
"""Of every operation that needs a key."""

_MESSAGE: Final = {"schema": {"type": "object", "required": ["error"]}}
IN_MCP: Final[Responses] = {
    status: {
        "description": "A message that could not be taken, or an error before it was read.",
        "headers": _REQUEST_ID,
        "content": {"application/json": _MESSAGE},
    }
    for status in (400, 404)
}


def in_messages(responses: Responses) -> Responses:
    """The same with the error body of Anthropic's API."""
    return {
        status: {**one, "model": MessageErrorReply} if one.get("model") is ErrorResponse else one
        for status, one in responses.items()
    }


_LOCATION: Final = {
    "location": {
        "description": "Where the answer of a person is read.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/v1/queue/wait-[0-9a-f]{32}$"},
    }
}
QUEUED: Final[Responses] = {
    202: {
        "model": QueueItem,
        "description": "With `Prefer: respond-async` instead of 422 `task_queued`.",
        "headers": {**_REQUEST_ID, **_LOCATION},
    },
    422: _error(
        "No stage of the route may answer. With `task_queued` it waits for a person: `item` is its"
        " id under `/v1/queue/`, and `location` says where the answer is read.",
        location={**_LOCATION["location"], "required": False},
    ),
}
"""Replies of paths whose model may be a route that defers."""

RECORDED: Final[Responses] = {
    200: {"description": "The answer.", "headers": {**_REQUEST_ID, **_RECEIPT}}
}
"""Of an answer that a model gave, whole."""

_MAYBE: Final = {name: {**header, "required": False} for name, header in _RECEIPT.items()}
STREAMED: Final[Responses] = {
    **QUEUED,
    200: {
        "description": "The answer; with `stream` as server-sent events. A stream of what waits for"
        " a person is the error event `task_queued` alone, and may have no receipt.",
        "headers": {**_REQUEST_ID, **_MAYBE},
        "content": {"text/event-stream": {}},
    },
}
"""The same, or in pieces; of a route, or the item that waits."""

KEYS: Final = [
    Depends(HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key.")),
    Depends(APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="key")),
]
"""Either of the two is enough."""
