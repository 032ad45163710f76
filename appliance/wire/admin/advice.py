"""Schemas of the advisor."""

from typing import Any

from pydantic import Field

from appliance.wire.admin.base import Reply, Request, Verbatim
from appliance.wire.admin.endpoint import operators, viewers
from appliance.wire.admin.results import Ends, UnknownResult

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class AdviceWanted(Request):
    """Advise on a task.

    Attributes:
        task: null for what holds without one.
        answers: to the four questions, as the file of answers has them; dates as texts.
    """

    task: str | None = Field(default=None, pattern=NAME)
    answers: dict[str, Any] = Field(default={})


class CostTold(Verbatim):
    """Monthly."""

    p10: float
    p50: float
    p90: float


class OptionTold(Verbatim):
    """One option; null is what was not measured. `rest` and `bound` are of a cascade."""

    name: str
    title: str
    state: str
    why: str = ""
    quality: float | None = None
    interval: Ends | None = None
    confidence: float | None = None
    cost_month: CostTold | None = None
    seconds_p95: float | None = None
    missing: list[str] = Field(default=[])
    groups_needed: int | None = None
    groups_to_certify: int | None = None
    joules: float | None = None
    coverage: float | None = None
    rest: str | None = None
    bound: float | None = None


class FlipTold(Verbatim):
    """An answer that, changed so far, changes the verdict."""

    name: str
    now: bool | float
    then: bool | float
    verdict: str


class SwingTold(Verbatim):
    """The cost at one answer's P10 and P90."""

    name: str
    at_p10: float
    at_p90: float


class AdviceDocument(Verbatim):
    """The verdict, the options, and what would change it; money to the cent."""

    verdict: str
    answer: str
    donts: list[str] = Field(default=[])
    more: int = 0
    options: list[OptionTold]
    flips_if: list[FlipTold] = Field(default=[])
    told_apart: bool = False
    tornado: list[SwingTold] = Field(default=[])
    full_throughput_verdict: str | None = None
    utilisation: float | None = None
    break_even_requests_day: dict[str, float | None] = Field(default={})
    parts: dict[str, float] = Field(default={})
    retraining: CostTold | None = None
    currency: str = ""
    notes: list[str] = Field(default=[])


class Advice(Reply):
    """One advice.

    Attributes:
        task: its id, or `any`.
        document: or what another version said.
        html: one self-contained file.
    """

    task: str
    created: str
    document: AdviceDocument | UnknownResult = Field(union_mode="left_to_right")
    html: str


class AdviceList(Reply):
    """The last advice for each task."""

    advice: list[Advice]


ADVICE_LIST = viewers.get("/admin/advice", AdviceList)
ADVICE = viewers.get("/admin/advice/{task}", Advice)
ADVISE = operators.post("/admin/advice", AdviceWanted, Advice, slow=True)
