"""The error answers of the admin app: the API's, with the code's hint."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from appliance.api.errors import error_body, install_error_handlers, refusal_of, status_of
from appliance.errors import ApplianceError
from appliance.wire.admin.models import ErrorBody, ErrorReply


def admin_error(error: ApplianceError) -> ErrorBody:
    """An error as the admin socket reports it."""
    return ErrorBody.model_validate({**error_body(error), "hint": error.hint})


def install_admin_errors(app: FastAPI) -> None:
    """Answer every error in our shape."""
    install_error_handlers(app)
    app.add_exception_handler(ApplianceError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)


def _answer(error: ApplianceError) -> JSONResponse:
    body = ErrorReply(error=admin_error(error)).model_dump(mode="json")
    return JSONResponse(body, status_code=status_of(error))


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ApplianceError):
        raise error
    return _answer(error)


async def _on_validation(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return _answer(refusal_of(error.errors()))
