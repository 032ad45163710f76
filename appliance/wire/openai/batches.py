"""`/v1/batches`: batches of the key that asks.

Source: OpenAI API reference, batches.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.wire.openai.files import ExpiresAfter
from appliance.wire.openai.generation import at_most, example

MOST_HOURS = 720
_Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
]  # fmt: skip
_Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]


class BatchRequest(BaseModel):
    """The body of `POST /v1/batches`."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        **example(
            input_file_id="file-1c8e2d4f", endpoint="/v1/chat/completions", completion_window="24h"
        ),
    )

    input_file_id: str = Field(max_length=64)
    endpoint: _Endpoint
    completion_window: str = Field(
        pattern="^[1-9][0-9]{0,2}h$", description=f"hours, `24h` in most; at most {MOST_HOURS}h"
    )
    metadata: Annotated[dict[_Name, _Value] | None, at_most(16)] = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def hours(self) -> int:
        return min(int(self.completion_window[:-1]), MOST_HOURS)


class BatchProblem(BaseModel):
    """A fault of the file, or why a batch failed; lines count from 1."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchProblems(BaseModel):
    """The first of them."""

    object: Literal["list"] = "list"
    data: list[BatchProblem]


class RequestCounts(BaseModel):
    """Lines; `failed` counts those that were refused, and at the end those that never ran."""

    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch; times are Unix seconds."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchProblems | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling",
        "cancelled",
    ]  # fmt: skip
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None


class BatchObjects(BaseModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
