"""The learning curve: quality at fewer rows, and whether more would help. Pure.

Rules: smaller shares are the rows whose digests are smallest, so each is within the next; the
verdict follows from the paired difference between all rows and half of them, and is "unknown" where
that shows neither.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from appliance.evals.outcomes import Outcome
from appliance.evals.summary import compare, summarise
from appliance.statistics import verdict
from appliance.tuning.rows import TokenRow
from appliance.wire.admin.results import CurvePoint, RowsDoubled

SHARES: Final = (0.25, 0.5)
"""Beside all rows."""
WORTH: Final = 0.01
"""The least gain from twice the rows that counts as help, as a share of the metric."""

Help = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class LearningPoint:
    """Quality at a number of rows."""

    share: float
    rows: int
    outcomes: tuple[Outcome, ...]

    def told(self) -> CurvePoint:
        quality = summarise("point", self.outcomes, 0.0).quality
        return CurvePoint(
            share=self.share, rows=self.rows, metric=quality.value, interval=quality.interval
        )


def part(rows: Sequence[TokenRow], share: float) -> tuple[TokenRow, ...]:
    """The rows of a share, in their order."""
    wanted = max(1, round(len(rows) * share))
    digests = sorted(rows, key=lambda row: hashlib.sha256(row.item.encode()).digest())
    chosen = {row.item for row in digests[:wanted]}
    return tuple(row for row in rows if row.item in chosen)


def more_helps(points: Sequence[LearningPoint]) -> tuple[Help, RowsDoubled]:
    """Judge by the last doubling.

    A curve gains less with each, so this one's gain bounds the next one's.
    """
    by_share = {point.share: point for point in points}
    if not {0.5, 1.0} <= by_share.keys():
        return "unknown", RowsDoubled()
    found = compare("all", by_share[1.0].outcomes, "half", by_share[0.5].outcomes).difference
    low, high = found.interval
    little = high < WORTH and found.groups >= verdict.FEWEST
    said: Help = "yes" if verdict.side_of(found) == "better" else "no" if little else "unknown"
    return said, RowsDoubled(doubling=found.value, interval=(low, high), groups=found.groups)
