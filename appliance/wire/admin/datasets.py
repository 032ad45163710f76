"""Schemas of the dataset routes."""

from typing import Any, Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import admins, viewers


class Capture(Request):
    """Which requests become items, page by page.

    Attributes:
        after: only entries with higher numbers.
        mask: replace personal data by its kind.
    """

    key_id: str = Field(min_length=1, max_length=100)
    after: int | None = Field(default=None, ge=0, lt=1 << 53)
    since: str | None = Field(default=None, max_length=40)
    until: str | None = Field(default=None, max_length=40)
    group: Literal["day", "request"] = "day"
    mask: bool = True
    answers: bool = False
    limit: int = Field(default=500, ge=1, le=1_000)


class SeenWanted(Request):
    """`trained`: the ids in the split `train`."""

    ids: list[str] = Field(min_length=1, max_length=10_000)
    data: str = Field(max_length=4_096)
    trained: list[str] = Field(default=[], max_length=10_000)


class SeenBy(Reply):
    """One evaluation that saw an item; `how` is asked, learned or unknown."""

    item: str
    evaluation: int
    how: str
    task: str
    data: str


class SeenList(Reply):
    """Readers of the items, by item and evaluation."""

    seen: list[SeenBy]


class Captured(Reply):
    """One page of items.

    Attributes:
        items: as lines of a dataset, unlabelled.
        left_out: requests that were erased, not kept, or have no text of a user.
        next_after: null at the end.
        answers: by item, where one was kept.
    """

    items: list[dict[str, Any]]
    left_out: int
    next_after: int | None = None
    answers: dict[str, str] = Field(default={})


CAPTURE = admins.post("/admin/datasets/capture", Capture, Captured)
SEEN = viewers.post("/admin/datasets/seen", SeenWanted, SeenList)
