"""`/v1/labels`: items that a person labels, without the labels of others.

Rule: a queue is there for the raters that it names, and for no other key.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.wire.openai.generation import example, few_fields

AsideReason = Literal["unreadable", "no_label_fits", "several_fit", "not_my_field"]


class LabelWork(BaseModel):
    """A queue, and how far the one who asks is."""

    object: Literal["label.queue"] = "label.queue"
    name: str
    labels: list[str]
    done: int
    total: int


class LabelWorkList(BaseModel):
    """The queues that name this rater."""

    object: Literal["list"] = "list"
    rater: str = Field(description="the name by which queues name the one who asks")
    data: list[LabelWork]


class LabelItem(BaseModel):
    """The item to label next; `item` is null when all are labelled."""

    object: Literal["label.item"] = "label.item"
    queue: str
    item: str | None
    input: dict[str, Any]
    labels: list[str]
    done: int
    total: int
    aside: AsideReason | None = Field(description="why this person put it aside before")


class LabelSaid(BaseModel):
    """The body of `POST /v1/labels/{queue}`: either a label, or why the item is put aside."""

    model_config = ConfigDict(strict=True, extra="forbid", **example(item="u17", label="leak"))

    item: str = Field(min_length=1, max_length=256)
    label: str | None = Field(default=None, min_length=1, max_length=200)
    aside: AsideReason | None = None

    _few = model_validator(mode="before")(few_fields)
