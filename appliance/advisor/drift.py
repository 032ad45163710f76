"""Drift of a task's requests from those that its evidence rests on. Pure.

Rules: the first twelve blocks are the reference; the result of a look never changes; an alarm stays
until a person starts the watch again; `PROMISE` and `BLIND` state what is found and what cannot be.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from appliance.advisor.blocks import Profile, WeekBlock, named, table
from appliance.advisor.costs import Percentiles
from appliance.advisor.options import per_doubling
from appliance.statistics import change
from appliance.statistics.change import LEAST, LONG, SHORT

PROMISE: Final = (
    "In a year without a change there is a false alarm with probability at most 5 %, however often "
    "it is looked at. A change eight times as large as weeks differ by themselves is found with "
    f"probability at least 95 %: within {SHORT} weeks where it is abrupt, within {LONG} where it "
    "creeps."
)
BLIND: Final = (
    "Wrong answers by themselves: without labels a change of what is right is not seen while the "
    "inputs and the answers look the same.",
    "Changes that are not much larger than weeks differ by themselves.",
    "Corrections that people make elsewhere: labels of the sample that a route's monitor draws "
    "count, where they are given before the week is looked at.",
    "Whether a slow wander that was always there is a change: where a week follows closely from "
    "the week before, there are more false alarms than promised.",
    f"A season that comes back: it looks like a change. The reference is {LEAST} weeks.",
    "Words, texts and answers of keys whose owners did not agree to examples.",
    "Weeks with fewer than 20 requests, and a statistic that a week of the year lacks.",
)
_FOUND: Final = 8
"""How many times as large as weeks differ a change is that `PROMISE` names."""
_HALF: Final = 0.5
State = Literal["learning", "quiet", "alarm"]


@dataclass(frozen=True)
class WindowFinding:
    """A look at a window, as `change.WindowLook`.

    Attributes:
        week: of the last block.
    """

    week: int
    window: int
    statistic: str
    size: float
    difference: float
    rank: float
    level: float

    @property
    def alarm(self) -> bool:
        large = self.size >= change.SMALLEST[self.window]
        return large and self.rank <= self.level

    @property
    def e_value(self) -> float:
        return 1 / self.level if self.alarm else 0.0

    def sentence(self) -> str:
        way = "rose" if self.difference > 0 else "fell"
        return (
            f"In the last {self.window} weeks, {named(self.statistic)} {way} by "
            f"{abs(self.difference):.3g}: {self.size:.1f} times as much as weeks differ."
        )


@dataclass(frozen=True)
class Watch:
    """The known weeks of a task.

    Attributes:
        profile: of the first week; None before it is over.
        findings: two for each look, the oldest first.
        begun: first block of the year of the present looks.
        reference: blocks from there on before its first look.
    """

    task: str
    profile: Profile | None = None
    blocks: tuple[WeekBlock, ...] = ()
    findings: tuple[WindowFinding, ...] = ()
    last_week: int | None = None
    begun: int = 0
    reference: int = LEAST

    @property
    def alarm(self) -> WindowFinding | None:
        return next((each for each in self.findings if each.alarm), None)

    @property
    def state(self) -> State:
        if self.alarm is not None:
            return "alarm"
        return "learning" if len(self.blocks) < LEAST + SHORT else "quiet"

    @property
    def evidence(self) -> float:
        """Weighted sum of the e-values: an alarm where it reaches 1."""
        return round(sum(each.e_value * each.level for each in self.findings), 9)

    def sentence(self) -> str:
        if self.alarm is not None:
            return f"Drift. {self.alarm.sentence()}"
        if self.state == "learning":
            left = LEAST + SHORT - len(self.blocks) + (self.profile is None)
            return f"Not watched yet: {left} more weeks until the first look."
        return f"No drift in {len(self.blocks)} weeks."


def looked(watch: Watch, block: WeekBlock) -> Watch:
    """With one more week.

    A year's looks share one budget of false alarms; then the next year begins, with the last weeks
    as its reference.
    """
    blocks = (*watch.blocks, block)
    begun, reference = watch.begun, watch.reference
    if len(blocks) - begun >= reference + SHORT + change.LOOKS:
        begun, reference = len(blocks) - 2 * LONG - SHORT, 2 * LONG
    names, values = table(blocks[begun:])
    findings = list(watch.findings)
    for window in (SHORT, LONG) if names and watch.alarm is None else ():
        found = change.look(values, window, reference)
        if found is not None:
            findings.append(
                WindowFinding(
                    block.week, window, names[found.statistic], found.size, found.difference,
                    found.rank, found.level,
                )
            )  # fmt: skip
    return replace(
        watch,
        blocks=blocks,
        findings=tuple(findings),
        last_week=block.week,
        begun=begun,
        reference=reference,
    )


@dataclass(frozen=True)
class Doubled:
    """Requests a week from which a doubled share of an answer is found within three weeks.

    Attributes:
        share: of the answer now.
        needed: None where weeks differ too much by themselves, however many requests they have.
    """

    answer: str
    share: float
    needed: int | None


def doubled(blocks: Sequence[WeekBlock]) -> tuple[Doubled, ...]:
    """Apply `PROMISE` to each common answer, at the spread of these weeks.

    A week's share differs by chance, less where requests are many, and by the week itself, which
    does not.
    """
    found = []
    for name in blocks[0].values if len(blocks) >= LEAST else ():
        values = [block.values[name] for block in blocks if name in block.values]
        share = sum(values) / len(values)
        if not name.startswith("label ") or not 0 < share <= _HALF:
            continue
        requests = sum(block.requests for block in blocks) / len(blocks)
        chance = share * (1 - share)
        week = max(0.0, statistics.variance(values) - chance / requests)
        room = (share / _FOUND) ** 2 - week
        found.append(Doubled(name, share, math.ceil(chance / room) if room > 0 else None))
    return tuple(found)


def advice(
    watch: Watch, curve: Sequence[tuple[int, float]], labels: Percentiles | None, currency: str
) -> tuple[str, ...]:
    """A retraining's cost and expected gain.

    Args:
        labels: price of the labels of a retraining; None if unknown.
    """
    if watch.alarm is None:
        return ()
    found = ["Label a sample of the last weeks, and measure the task on it before it is changed."]
    gain = per_doubling(curve)
    if labels is not None:
        found.append(
            f"Labels for a retraining cost {labels.p50:,.2f} {currency} (P10 {labels.p10:,.2f}, "
            f"P90 {labels.p90:,.2f})."
        )
    else:
        found.append("The cost of labels is not known: `appliance advise TASK --answers FILE`.")
    if gain is not None:
        found.append(
            f"On the old items twice as many examples brought {100 * gain:+.1f} points; on new "
            "ones the first examples bring more than that, and how much is not known before."
        )
    return tuple(found)
