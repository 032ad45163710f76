"""`/v1/queue`: what no stage answered, and waits for a person.

Rule: an app sees its own items; a key with the role `queue` sees those of the tasks that it may
use, and answers them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.wire.openai.generation import example, few_fields


class QueueItem(BaseModel):
    """An item; `labels` or `form`, a JSON schema, say what `answer` must be."""

    object: Literal["queue.item"] = "queue.item"
    id: str
    task: str
    state: Literal["waiting", "answered", "expired"]
    created: int
    deadline: int
    reason: str
    input: dict[str, Any]
    labels: list[str] | None = None
    form: dict[str, Any] | None = None
    answer: Any = None


class QueueList(BaseModel):
    """Items, the nearest deadline first."""

    object: Literal["list"] = "list"
    data: list[QueueItem]


class AnswerRequest(BaseModel):
    """The body of `POST /v1/queue/{id}/answer`."""

    model_config = ConfigDict(strict=True, extra="forbid", **example(answer="leak"))

    answer: str | dict[str, Any] = Field(
        description="a label, an object of the schema, or a text", max_length=64 << 10
    )

    _few = model_validator(mode="before")(few_fields)
