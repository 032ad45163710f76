"""Schemas of the label queues."""

from typing import Any

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import operators, viewers

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class LabelsNew(Request):
    """Label unlabelled items of a directory on the server's host.

    Attributes:
        limit: the first so many in the queue's order; 0 for all.
    """

    name: str = Field(pattern=NAME)
    data: str = Field(min_length=1, max_length=4_096)
    labels: list[str] = Field(min_length=2, max_length=256)
    raters: list[str] = Field(min_length=2, max_length=2)
    limit: int = Field(default=0, ge=0, le=1_000_000)


class LabelSet(Request):
    """One label of the person who sends it; `together` settles a difference of the two raters."""

    item: str = Field(min_length=1, max_length=256)
    label: str = Field(min_length=1, max_length=200)
    together: bool = False


class LabelQueue(Reply):
    """One queue.

    Attributes:
        done: items labelled, by person.
        aside: items put aside and not labelled, by reason.
        finished: both raters have labelled every item. Before, comparisons are null.
        unsettled: items on which they still differ.
        job: the gate that takes the labels; 0 for none.
    """

    name: str
    data: str
    created: str
    items: int
    labels: list[str]
    raters: list[str]
    done: dict[str, int]
    aside: dict[str, int] = Field(default={})
    finished: bool
    agreement: float | None = None
    kappa: float | None = None
    unsettled: int | None = None
    job: int = 0


class LabelQueueList(Reply):
    """All queues by name."""

    queues: list[LabelQueue]


class LabelNext(Reply):
    """The next item; null where this person has labelled all.

    Attributes:
        rater: the user on the server's host.
        done, total: this person's.
    """

    rater: str = ""
    item: str | None = None
    input: dict[str, Any] = Field(default={})
    labels: list[str] = Field(default=[])
    done: int = 0
    total: int = 0


class LabelDifference(Reply):
    """An item that the raters labelled differently; `said` is in the order of the raters."""

    item: str
    input: dict[str, Any]
    said: list[str]


class LabelDifferences(Reply):
    """The differences that are not settled."""

    raters: list[str]
    labels: list[str]
    differences: list[LabelDifference]


class LabelAnswers(Reply):
    """The settled label of each item, and the report of the labelling."""

    answers: dict[str, str]
    report: dict[str, Any]


LABEL_QUEUES = viewers.get("/admin/labels", LabelQueueList)
LABEL_QUEUE = viewers.get("/admin/labels/{name}", LabelQueue)
LABEL_QUEUE_NEW = operators.post("/admin/labels", LabelsNew, LabelQueue, slow=True)
LABEL_NEXT = operators.get("/admin/labels/{name}/next", LabelNext)
LABEL_SET = operators.post("/admin/labels/{name}/items", LabelSet, LabelQueue)
LABEL_DIFFERENCES = operators.get("/admin/labels/{name}/differences", LabelDifferences)
LABEL_ANSWERS = operators.post("/admin/labels/{name}/answers", LabelAnswers)
LABEL_QUEUE_REMOVE = operators.post("/admin/labels/{name}/remove", LabelQueueList)
