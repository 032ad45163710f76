"""Entries of the log as sums by the hour. Pure.

Rules:
- A request counts in the hour in which its intent was recorded. A route that asks one model after
  the other is one request, and an answer of each.
- `busy_us` is the time of an answer without its wait for a turn: the cost of an app whose task
  writes no tokens.
- A search counts as a request and an answer of its collection, which stands for the model.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Final, TypeAlias

from appliance.audit.entry import LogEntry
from appliance.errors import NotFound
from appliance.types import Json, UsedPer

HOUR_US: Final = 3_600_000_000
KINDS: Final = ("intent", "outcome", "search")
Body: TypeAlias = Mapping[str, Json]
_FORMS: Final[dict[UsedPer, str]] = {"hour": "%Y-%m-%dT%H:00Z", "day": "%Y-%m-%d", "month": "%Y-%m"}


@dataclass(frozen=True)
class UsageSubject:
    """Subject of a sum.

    Attributes:
        hour: hours since 1970, UTC.
        key_id, app: id and name of the API key.
        person: the person for whom the app asked; "" for none.
        cost_centre: of a group of that person.
        task: "" for a model.
        model: the answering model, or the collection of a search.
    """

    hour: int
    key_id: str
    app: str
    person: str
    cost_centre: str
    task: str
    model: str


@dataclass(frozen=True)
class UsageSums:
    """Sums of requests and answers; `failed` are answers that are errors or have no known end."""

    requests: int = 0
    answers: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    busy_us: int = 0

    def plus(self, other: "UsageSums") -> "UsageSums":
        return UsageSums(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass
class UsageCount:
    """Adds up entries in their order.

    Args:
        find: reads an earlier intent; raises NotFound.
    """

    find: Callable[[int], LogEntry]
    sums: dict[UsageSubject, UsageSums] = field(default_factory=dict)
    _open: dict[int, LogEntry] = field(default_factory=dict)

    def add(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            if entry.kind == "intent":
                self._open[entry.seq] = entry
            elif entry.kind == "search":
                self._note(_searched(entry), UsageSums(requests=1, answers=1))
            else:
                self._note(*_answered(entry, self._intent(entry)))

    def _note(self, subject: UsageSubject, sums: UsageSums) -> None:
        self.sums[subject] = self.sums.get(subject, UsageSums()).plus(sums)

    def _intent(self, outcome: LogEntry) -> LogEntry:
        """The intent of an outcome; the outcome itself if the intent was pruned."""
        seq = _number(outcome.body, "intent")
        try:
            return self._open.pop(seq, None) or self.find(seq)
        except NotFound:
            return outcome


def period_of(hour: int, per: UsedPer) -> str:
    """The hour, day or month, in UTC."""
    return time.strftime(_FORMS[per], time.gmtime(hour * 3_600))


def _answered(outcome: LogEntry, intent: LogEntry) -> tuple[UsageSubject, UsageSums]:
    said, asked = outcome.body, intent.body
    hop = asked.get("hop")
    again = isinstance(hop, dict) and hop.get("number") != 1
    subject = UsageSubject(
        intent.time_us // HOUR_US,
        _text(asked, "key_id"),
        _text(asked, "app"),
        _text(asked, "end_user"),
        _text(asked, "end_user_cost_centre"),
        _text(said, "model") if asked.get("task") else "",
        _text(asked, "model"),
    )
    busy = _number(said, "duration_us") - _number(said, "queued_us")
    return subject, UsageSums(
        0 if again else 1,
        1,
        1 if said["status"] in ("error", "unknown") else 0,
        _number(said, "prompt_tokens"),
        _number(said, "completion_tokens"),
        max(0, busy),
    )


def _searched(entry: LogEntry) -> UsageSubject:
    body, hour = entry.body, entry.time_us // HOUR_US
    return UsageSubject(
        hour, _text(body, "key_id"), _text(body, "app"), _text(body, "end_user"),
        _text(body, "end_user_cost_centre"), "", _text(body, "collection"),
    )  # fmt: skip


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _number(body: Body, name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) else 0
