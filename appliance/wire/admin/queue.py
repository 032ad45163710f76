"""Schemas of the queue of people."""

from typing import Annotated, Any

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import operators


class Waiting(Reply):
    """An item; `answer` and `actor` once a person answered, `labels` or `schema` as its form."""

    id: str
    request_id: str
    app: str
    task: str
    reason: str
    input: dict[str, Any]
    labels: list[str] = Field(default=[])
    form: dict[str, Any] | None = None
    created: str
    deadline: str
    state: str
    answer: Any = None
    actor: str | None = None


class Queue(Reply):
    """Items, the nearest deadline first."""

    items: list[Waiting]


class QueueAnswer(Request):
    """A person's answer: a label, an object, or a text."""

    answer: Any


class QueueTask(Request):
    """A name that apps ask under."""

    task: Annotated[str, Field(min_length=1, max_length=128)]


class QueueLabels(Reply):
    """Labelled items, each a line of a dataset's file; `left_out` could not be items."""

    items: list[dict[str, Any]]
    left_out: int = 0


QUEUE = operators.get("/admin/queue{?everything,task}", Queue)
QUEUE_LABELS = operators.post("/admin/queue/labels", QueueTask, QueueLabels)
QUEUE_ITEM = operators.get("/admin/queue/{item_id}", Waiting)
QUEUE_ANSWER = operators.post("/admin/queue/{item_id}", QueueAnswer, Waiting)
