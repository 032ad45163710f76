"""One candidate's outcome on one item, as a line of JSON, and the digest of all of them.

Rules: every item of the split has exactly one outcome, a failure included; lines are canonical, so
that equal outcomes have equal digests.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from appliance.errors import EvaluationRefused
from appliance.trust.bytes import strict_json

_OPTIONAL: Final = ("cited", "cited_right", "cited_removed", "erased", "ranked")
RANKED: Final = 10
"""Labels that an outcome names, of those that were weighed."""
_MOST: Final = 1 << 20
_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Share: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class Outcome:
    """One item's outcome.

    Attributes:
        answer: None where the candidate failed.
        micros: the score in millionths.
        microseconds: from request to the answer's end.
        failure: the stable code of why there is no answer, else "".
        cited: quotations in the answer that are in a passage; None where answers do not cite.
        cited_right: those of them from a document which the item names as relevant; None where it
            names none.
        cited_removed: quotations and marks that were taken out of the answer.
        erased: whether its texts were erased.
        ranked: of a task of labels the likeliest `RANKED`, the first first, with probabilities in
            millionths; None where the candidate gives none.
    """

    item: str
    group: str
    expected: str
    answer: str | None
    micros: _Share
    microseconds: _Count
    tokens: _Count = 0
    stratum: str = ""
    failure: str = ""
    confidence_micros: _Share | None = None
    cited: _Count | None = None
    cited_right: _Count | None = None
    cited_removed: _Count | None = None
    erased: bool | None = None
    ranked: tuple[tuple[str, _Share], ...] | None = None

    @property
    def wrong(self) -> bool:
        return self.micros < 1_000_000

    @property
    def score(self) -> float:
        return self.micros / 1e6

    @property
    def said(self) -> str:
        """The answer, or the failure in brackets."""
        if self.erased:
            return "(erased)"
        return f"({self.failure})" if self.answer is None else self.answer

    def without_texts(self) -> "Outcome":
        answer = None if self.answer is None else ""
        return replace(self, expected="", answer=answer, erased=True, ranked=None)

    def line(self) -> bytes:
        """Fields that an answer of its form cannot have are left out."""
        told = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        table = {k: v for k, v in told if v is not None or k not in _OPTIONAL}
        return strict_json.dump(table) + b"\n"


def ranked(shares: Iterable[tuple[str, float]]) -> tuple[tuple[str, int], ...]:
    """In millionths, the likeliest first, of equals the first."""
    ordered = sorted(shares, key=lambda each: -each[1])
    return tuple((label, round(share * 1e6)) for label, share in ordered)


def parse(line: bytes) -> Outcome:
    """Read a line. Raises EvaluationRefused (`outcomes_invalid`)."""
    value = strict_json.parse(line, _invalid, limit=_MOST)
    try:
        outcome = msgspec.convert(value, Outcome)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    if isinstance(value, dict) and not value.keys() <= vars(outcome).keys():
        raise _invalid("a field is unknown")
    if outcome.erased is False:
        raise _invalid("it is erased or it is not")
    if (outcome.answer is None) != bool(outcome.failure) or (outcome.failure and outcome.micros):
        raise _invalid("a failure has a code, no answer and a score of 0")
    return outcome


def digest(outcomes: Iterable[Outcome]) -> str:
    """Hex SHA-256 of the lines, by items' ids."""
    hashed = hashlib.sha256()
    for outcome in sorted(outcomes, key=lambda o: o.item):
        hashed.update(outcome.line())
    return hashed.hexdigest()


def check_complete(outcomes: Sequence[Outcome], items: Sequence[str]) -> None:
    """One for each item, or EvaluationRefused (`outcomes_incomplete`)."""
    told = [outcome.item for outcome in outcomes]
    if sorted(told) != sorted(items):
        missing = sorted(set(items) - set(told))[:3]
        raise EvaluationRefused(
            "outcomes_incomplete",
            f"{len(told)} outcomes for {len(items)} items; missing: {', '.join(missing) or '-'}.",
        )


_invalid: Final = EvaluationRefused.of("outcomes_invalid", "Outcomes cannot be used")
