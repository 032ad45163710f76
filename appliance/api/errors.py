"""The only place where errors become HTTP answers.

Rules:
- Every body that is not an answer is `{"error": {"message", "type", "param", "code"}}`, the shape
  of the OpenAI API, or that of Anthropic's on its routes; `code` is one of `errors.CODES`. An input
  that waits for a person adds the id of its item as `item`; a client that prefers it (`Prefer:
  respond-async`, RFC 7240) gets 202 with the item instead. No SDK retries 422.
- A client's fault is a 4xx and never retried by the SDKs; 429 and 503 carry `Retry-After`, and
  `x-should-retry` says whether trying again can help.
- An unexpected exception answers 500 `internal_error` with no detail.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from appliance.api.dialect import speaks_anthropic
from appliance.audit.store import full
from appliance.errors import (
    CODES,
    ApplianceError,
    BadRequest,
    Forbidden,
    NotFound,
    Overloaded,
    Queued,
    Refused,
    RequestRefused,
    ServerUnreachable,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from appliance.text import visible
from appliance.types import JsonValue
from appliance.wire.anthropic.reply import (
    MessageError,
    MessageErrorDetails,
    MessageErrorReply,
)

STATUS_BY_CLASS: Final[Mapping[type[ApplianceError], int]] = {
    UsageError: 400,
    Refused: 409,
    RequestRefused: 400,
    BadRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    Overloaded: 429,
    Unavailable: 503,
    ServerUnreachable: 503,
    ApplianceError: 500,
}
"""The status of an error class; a subclass that is not named has its parent's."""

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "unknown_model_id": 404,
    "unknown_key_id": 404,
    "collection_not_found": 404,
    "document_missing": 404,
    "label_queue_unknown": 404,
    "label_settled": 409,
    "label_unknown": 400,
    "item_unknown": 404,
    "invalid_json": 400,
    "invalid_schema": 400,
    "unknown_grammar": 400,
    "invalid_value": 400,
    "unsupported_parameter": 400,
    "wrong_model_kind": 400,
    "context_length_exceeded": 400,
    "template_failed": 400,
    "invalid_api_key": 401,
    "session_ended": 401,
    "forbidden": 403,
    "not_found": 404,
    "model_not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "request_too_large": 413,
    "headers_too_large": 431,
    "malformed_http": 400,
    "too_many_connections": 429,
    "unsupported_media_type": 415,
    "key_quarantined": 429,
    "answer_unkept": 503,
    "batch_ended": 409,
    "batch_for_person": 403,
    "batch_not_found": 404,
    "file_in_use": 409,
    "file_not_found": 404,
    "files_full": 429,
    "files_retention": 403,
    "too_many_batches": 429,
    "erased": 409,
    "response_not_found": 404,
    "conversation_not_found": 404,
    "idempotency_mismatch": 422,
    "idempotency_retention": 403,
    "idempotency_running": 409,
    "kept_answers_full": 429,
    "people_queue_full": 429,
    "people_unavailable": 503,
    "person_certificate_expired": 401,
    "person_certificate_invalid": 401,
    "person_certificate_revoked": 401,
    "person_disabled": 403,
    "person_required": 403,
    "person_token_bound": 401,
    "person_token_early": 401,
    "person_token_expired": 401,
    "person_token_foreign": 401,
    "person_token_invalid": 401,
    "person_token_lifetime": 401,
    "person_token_replayed": 401,
    "person_unknown": 403,
    "queue_answer_unfit": 400,
    "queue_full": 429,
    "queue_item_closed": 409,
    "queue_item_unknown": 404,
    "queue_retention": 403,
    "rate_limit_exceeded": 429,
    "request_exceeds_quota": 400,
    "internal_error": 500,
    "output_invalid": 500,
    "audit_corrupt": 503,
    "audit_unavailable": 503,
    "disk_full": 503,
    "log_ends_early": 503,
    "state_differs": 503,
    "site_stale": 503,
    "mirror_unavailable": 503,
    "member_unreachable": 503,
    "model_loading": 503,
    "model_unavailable": 503,
    "model_missing": 503,
    "model_suspended": 503,
    "task_model_changed": 503,
    "task_model_missing": 503,
    "task_answer_invalid": 500,
    "route_stage_away": 503,
    "task_deferred": 422,
    "task_queued": 422,
    "request_cancelled": 503,
    "upstream_busy": 503,
    "upstream_certificate": 503,
    "upstream_denied": 503,
    "upstream_forbidden": 403,
    "upstream_incomplete": 503,
    "upstream_invalid": 503,
    "upstream_lost": 503,
    "upstream_redirect": 503,
    "upstream_rejected": 400,
    "upstream_retention": 403,
    "upstream_timeout": 503,
    "upstream_tripped": 503,
    "upstream_unavailable": 503,
    "upstream_unsupported": 400,
    "shutting_down": 503,
    "worker_lost": 503,
}
"""Codes whose status is the same whoever raises them; they win over the class."""

RETRY_AFTER: Final[Mapping[str, int]] = {
    "idempotency_running": 1,
    "kept_answers_full": 600,
    "files_full": 600,
    "too_many_batches": 60,
    "queue_full": 1,
    "worker_lost": 2,
    "model_loading": 5,
    "model_unavailable": 60,
    "shutting_down": 10,
    "audit_unavailable": 60,
    "disk_full": 60,
    "log_ends_early": 600,
    "key_quarantined": 600,
}
"""Seconds to wait before trying again."""

# Trying again at once cannot help, or may cost the work a second time.
_HOPELESS: Final = frozenset(
    {
        "answer_unkept", "audit_corrupt", "audit_unavailable", "disk_full", "internal_error",
        "key_quarantined", "log_ends_early", "mirror_unavailable", "model_suspended",
        "output_invalid", "state_differs",
        "upstream_denied", "upstream_incomplete", "upstream_invalid", "upstream_lost",
        "upstream_redirect", "upstream_timeout",
    }
)  # fmt: skip
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_MESSAGES_TYPES: Final[Mapping[int, str]] = {
    **_TYPES,
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    503: "overloaded_error",
}
_CODE_OF_HTTP_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
}
_APPLIED: Final = {"preference-applied": "respond-async"}
_READING: Final = (ValueError, RecursionError, ClientDisconnect)
"""Exceptions of reading a body; the framework wraps any as an answer of 400."""


def status_of(error: ApplianceError) -> int:
    """The HTTP status of an error."""
    if error.code in STATUS_BY_CODE:
        return STATUS_BY_CODE[error.code]
    return next(STATUS_BY_CLASS[kind] for kind in type(error).__mro__ if kind in STATUS_BY_CLASS)


def error_body(error: ApplianceError) -> dict[str, JsonValue]:
    """The inner object of an error answer."""
    status = status_of(error)
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    body: dict[str, JsonValue] = {
        "message": error.message,
        "type": kind,
        "param": error.param,
        "code": error.code,
    }
    if not isinstance(error, Queued) or not error.item:
        return body
    several = {"items": list(error.ids)} if len(error.ids) > 1 else {}
    return {**body, "item": error.item["id"], **several}


def messages_error(error: ApplianceError, request_id: str) -> MessageErrorReply:
    """The body of an error answer in Anthropic's API."""
    status, plain = status_of(error), error_body(error)
    kind = "api_error" if status == 500 else _MESSAGES_TYPES.get(status, "invalid_request_error")
    details = {name: plain[name] for name in ("param", "item", "items") if name in plain}
    told = MessageError(
        type=kind,
        message=error.message,
        details=MessageErrorDetails.model_validate({"error_code": error.code, **details}),
    )
    return MessageErrorReply(type="error", error=told, request_id=request_id)


class ErrorAnswer(JSONResponse):
    """An error in the words of the API that was asked; its code stays in the scope for the
    counters.
    """

    error: ApplianceError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["error_code"] = self.error.code
        if speaks_anthropic(scope["path"]):
            told = messages_error(self.error, state.get("request_id", ""))
            self.body = self.render(told.model_dump(exclude_unset=True))
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def seconds_to_wait(error: ApplianceError) -> int | None:
    """Seconds before trying again; None where waiting cannot help."""
    if status_of(error) not in (429, 503) and error.code not in RETRY_AFTER:
        return None
    return error.retry_after or RETRY_AFTER.get(error.code, 5)


def error_response(error: ApplianceError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response, with the headers that belong to its status."""
    status = status_of(error)
    extra = dict(headers or {})
    body: dict[str, JsonValue] = {"error": error_body(error)}
    if isinstance(error, Queued) and error.item:
        extra["location"] = f"/v1/queue/{error.item['id']}"
    if status == 401:
        extra["www-authenticate"] = 'Bearer realm="appliance"'
    if (seconds := seconds_to_wait(error)) is not None:
        extra["retry-after"] = str(seconds)
    if status == 409:  # which SDKs try again of themselves
        extra["x-should-retry"] = "true" if error.code in RETRY_AFTER else "false"
    if status == 429 or status >= 500:
        extra["x-should-retry"] = "false" if error.code in _HOPELESS else "true"
    answer = ErrorAnswer(body, status_code=status, headers=extra)
    answer.error = error
    return answer


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error in our shape."""
    app.add_exception_handler(ApplianceError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(OperationalError, _on_database)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ApplianceError):
        raise error
    answer = error_response(error)
    if isinstance(error, Queued) and error.item and _prefers_async(request):
        item = {"object": "queue.item", **error.item}
        if len(error.ids) > 1:
            item["items"] = list(error.ids)
        return JSONResponse(item, 202, {"location": answer.headers["location"], **_APPLIED})
    return answer


async def _on_database(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, OperationalError) or not full(error.orig):
        raise error
    return error_response(Unavailable("disk_full", "There is no room to keep this."))


def _prefers_async(request: Request) -> bool:
    """True if the client accepts a later answer as a success (RFC 7240, 4.1)."""
    said = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(one.partition(";")[0].strip() == "respond-async" for one in said)


async def _on_validation(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return error_response(refusal_of(error.errors()))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.__cause__, ApplianceError):  # what reading a body raised comes wrapped
        return error_response(error.__cause__)
    if error.__cause__ is not None and not isinstance(error.__cause__, _READING):
        raise error.__cause__  # a fault of ours, which is no fault of the body
    code = _CODE_OF_HTTP_STATUS.get(error.status_code)
    if code is None:
        raise error
    where = visible(f"{request.method} {request.url.path}", limit=200)
    refused = BadRequest(code, f"{where}: {CODES[code].meaning}.")
    headers = error.headers
    routes = getattr(request.app.state, "routes", None)
    if error.status_code == 405 and routes is not None:  # a path may be that of several routes
        headers = {"allow": ", ".join(routes.methods(request.scope["path"]))}
    return error_response(refused, headers)


def refusal_of(errors: Any) -> BadRequest:
    """The first of pydantic's validation errors as one of ours."""
    first = errors[0]
    place, kind, context = tuple(first["loc"]), first["type"], first.get("ctx", {})
    if kind in CODES and "reason" in context:  # raised by a validator of ours
        param = ".".join(filter(None, (_param(place), context["field"])))
        reason = visible(context["reason"], limit=300)
        return BadRequest(kind, f"{param}: {reason}.", param=param)
    if kind == "json_invalid" or place == ("body",):
        return BadRequest("invalid_json", "The body is not one JSON object.")
    param = _param(place)
    reason = visible(first["msg"].removeprefix("Value error, "), limit=300)
    return BadRequest("invalid_value", f"{param}: {reason}.", param=param)


def _param(place: tuple[str | int, ...]) -> str:
    """`("body", "messages", 0, "role")` as `messages[0].role`."""
    return place_name(place[1:])


def place_name(place: tuple[str | int, ...]) -> str:
    """`("messages", 0, "role")` as `messages[0].role`, safe to show."""
    name = ""
    for part in place:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return visible(name, limit=100)
