"""Schemas of the advisor on the admin socket."""

from typing import Any

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import operators, viewers

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class AdviceWanted(Request):
    """Advise on a task.

    Attributes:
        task: its id; null for what holds without one.
        answers: of the four questions, as the file of answers has them; dates as texts.
    """

    task: str | None = Field(default=None, pattern=NAME)
    answers: dict[str, Any] = Field(default={})


class Advice(Reply):
    """One advice.

    Attributes:
        task: its id, or `any`.
        document: verdict, options, and what would change it.
        html: its page, one self-contained file.
    """

    task: str
    created: str
    document: dict[str, Any]
    html: str


class AdviceList(Reply):
    """The last advice for each task."""

    advice: list[Advice]


ADVICE_LIST = viewers.get("/admin/advice", AdviceList)
ADVICE = viewers.get("/admin/advice/{task}", Advice)
ADVISE = operators.post("/admin/advice", AdviceWanted, Advice, slow=True)
