"""Schemas of evaluations."""

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import operators, viewers


class Report(Reply):
    """The page of an evaluation: one self-contained HTML file."""

    html: str


class Neighbours(Reply):
    """Learned neighbours as a classifier's file; `model`, `digest`: of the embedding model."""

    document: str
    model: str
    digest: str


class Side(Request):
    """One candidate of an evaluation; its name is "" for the task as it is written."""

    evaluation: int = Field(ge=1, lt=1 << 53)
    candidate: str = Field(default="", max_length=300)


class CompareWanted(Request):
    """Which two candidates are compared."""

    first: Side
    second: Side


class Flip(Reply):
    """An item that only one side has right.

    Attributes:
        right: "first" or "second".
        first, second: the answers, or the code of the failure in brackets.
        input: "" where it cannot be shown.
    """

    item: str
    group: str
    right: str
    expected: str
    first: str
    second: str
    input: str = ""


class Compared(Reply):
    """Two candidates on the same items: the first minus the second.

    Attributes:
        interval: 95 % of the group-weighted difference.
        p_value: McNemar's exact test, which counts items.
        flips: at most 1,000; `gained` and `lost` are whole.
        unread: why inputs cannot be shown, or "".
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    groups: int
    items: int
    gained: int
    lost: int
    p_value: float
    flips: list[Flip]
    unread: str = ""


class ErrorsWanted(Request):
    """The candidate with the wrong items; the other two keep a cell of the confusion matrix."""

    side: Side
    expected: str = Field(default="", max_length=65_536)
    answered: str = Field(default="", max_length=65_536)


class WrongItem(Reply):
    """An item that a candidate has not wholly right.

    Attributes:
        answered: or the code of the failure in brackets.
        confidence: null where the candidate has none.
        input: "" where it cannot be shown.
    """

    item: str
    group: str
    expected: str
    answered: str
    score: float
    confidence: float | None
    input: str


class Confused(Reply):
    """Times that one answer was given where another was expected."""

    expected: str
    answered: str
    items: int


class Errors(Reply):
    """A candidate's wrong items on an open split.

    Attributes:
        items, wrong: of the whole split.
        confused: the commonest first.
        kept: wrong items that the filter keeps.
        shown: at most 1,000 of these, the surest wrong answer first.
        unread: why inputs cannot be shown, or "".
    """

    evaluation: int
    candidate: str
    split: str
    items: int
    wrong: int
    confused: list[Confused]
    kept: int
    shown: list[WrongItem]
    unread: str


EVALUATION_REPORT = viewers.get("/admin/evaluations/{job_id}/report", Report)
EVALUATION_NEIGHBOURS = operators.get("/admin/evaluations/{job_id}/neighbours", Neighbours)
EVALUATIONS_COMPARE = operators.post("/admin/evaluations/compare", CompareWanted, Compared)
EVALUATION_ERRORS = operators.post("/admin/evaluations/errors", ErrorsWanted, Errors)
