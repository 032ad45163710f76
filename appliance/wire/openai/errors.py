"""The body of every answer that is not 2xx.

Source: OpenAI API reference, error codes.
"""

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """An error; `code` is stable, `param` names the field at fault.

    `item` is there with `task_queued` alone: the id under `/v1/queue/`.
    """

    message: str
    type: str
    param: str | None
    code: str
    item: str | None = None
    items: list[str] | None = None


class ErrorResponse(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail
