"""`GET /v1/requests`: the requests of the key that asks, without their texts."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

RequestState: TypeAlias = Literal["open", "ok", "cancelled", "error", "unknown"]


class OwnRequest(BaseModel):
    """One request; `/v1/receipts/{id}` has its evidence."""

    object: Literal["request"] = "request"
    id: str
    created: int
    route: str
    model: str = Field(description="model, task or stage of a route; while `open` the model")
    state: RequestState = Field(
        description="`open` until its outcome is recorded; `unknown` where a crash left none"
    )
    prompt_tokens: int
    completion_tokens: int
    response: str | None = Field(description="the id under which /v1/responses may have its texts")


class OwnRequestList(BaseModel):
    """Requests, the newest first; `before` goes on where there are more."""

    object: Literal["list"] = "list"
    data: list[OwnRequest]
    before: int | None
