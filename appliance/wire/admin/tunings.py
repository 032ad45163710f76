"""Schemas of tunings."""

from typing import Final

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import viewers

MOST: Final = 8
"""Tunings that are compared at once."""


class TuningReport(Reply):
    """The page of a tuning: one self-contained HTML file."""

    html: str


class LossRun(Reply):
    """A run of a tuning: a seed, or a seed on a share of the rows.

    Attributes:
        points: step, loss before it, and the loss on dev after it where it was measured; in nats a
            token, evenly apart where there are many.
    """

    name: str
    points: list[tuple[int, float, float | None]]


class Losses(Reply):
    """The runs of a tuning; the last one is the one that trains or trained last."""

    runs: list[LossRun]


class CompareTunings(Request):
    """Which tunings are compared; each of them trained an adapter."""

    tunings: list[int] = Field(min_length=2, max_length=MOST)


class Tuned(Reply):
    """Result of one tuning.

    Attributes:
        value, interval: of the metric, the tuned model as it serves, on dev, at 95 %.
        best: the kind of the candidate that is best on dev, with its value and interval.
        dev_nats: loss of the exported seed on dev, in nats a token.
        spread_nats: how far its seeds are apart.
        seconds: of the whole run; `peak_mib` of the trainer; `joules` of the whole host, or null.
    """

    id: int
    title: str
    metric: str
    value: float
    interval: tuple[float, float]
    groups: int
    best: str
    best_value: float
    best_interval: tuple[float, float]
    dev_nats: float
    spread_nats: float
    seconds: float
    peak_mib: int
    joules: float | None


class Differing(Reply):
    """Something that the tunings had otherwise, with its value in each of them."""

    name: str
    values: list[str]


class DevDifference(Reply):
    """One tuning minus another on the same items of dev.

    Attributes:
        what: the tuned models, the best candidates, a field of the tuned models.
        value, interval: weighted by group; several intervals hold together at 95 %.
        p_value: McNemar's exact test, which counts items.
        gained, lost: items that only the one, or only the other, has wholly right.
    """

    what: str
    value: float
    interval: tuple[float, float]
    p_value: float
    gained: int
    lost: int


class Paired(Reply):
    """A tuning against another, item by item.

    Attributes:
        reason: why they are not comparable, or "".
        items: of dev that both answered; `left_out` are the others.
    """

    tuning: int
    against: int
    reason: str
    items: int
    left_out: int
    groups: int
    differences: list[DevDifference]


class TuningsCompared(Reply):
    """Tunings side by side, in the order in which they were named.

    Attributes:
        same_dev: all were measured on the same items of dev; else single figures do not compare.
        paired: each but the first against the first; an older server says nothing.
    """

    tunings: list[Tuned]
    differing: list[Differing]
    same_dev: bool
    paired: list[Paired] = Field(default_factory=list)


TUNING_REPORT = viewers.get("/admin/tunings/{job_id}/report{?against}", TuningReport)
TUNING_LOSSES = viewers.get("/admin/tunings/{job_id}/losses", Losses)
TUNINGS_COMPARE = viewers.post("/admin/tunings/compare", CompareTunings, TuningsCompared)
