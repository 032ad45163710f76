"""A monitor that may be looked at after every label: is the error rate above a bound?

Rules: one bet a group, with its share of wrong items; every stake is fixed before the group is
seen; half of the capital bets from the first group on, and of the other half one part in `STARTS`
begins at each group, so that losses of good months do not hide a rate that rises later; a group's
weight does not depend on its labels; under a true rate of at most `bound` the evidence, the mean
capital over stakes, reaches 1 / delta with probability at most delta, ever.
Sources: Ville 1939; Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86, 2024, "Estimating means of
bounded random variables by betting"; Shafer, J. R. Stat. Soc. A 184, 2021; Shin, Ramdas & Rinaldo,
"E-detectors", arXiv 2203.03532, for the restarts, here with a finite capital.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from appliance.errors import Refused

STAKES: Final = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the largest stake that can never lose everything, 1 / bound."""
STARTS: Final = 365
"""Groups at which a part of the capital begins: the days of a certificate."""
_PART: Final = math.log(0.5 / STARTS)


@dataclass
class Monitor:
    """The evidence against an error rate of at most `bound`.

    Attributes:
        wealth: natural logarithm of each stake's product of 1 since the first group.
        groups: settled bets.
        peak: largest evidence so far, natural logarithm.
        restarted: natural logarithm of each stake's product of the begun parts; empty before the
            first one.
        starts: begun parts.
    """

    bound: float
    wealth: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))
    groups: int = 0
    peak: float = 0.0
    restarted: list[float] = field(default_factory=list)
    starts: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.bound < 1:
            raise ValueError("a bound is strictly between 0 and 1")

    def observe(self, wrong: float, weight: float = 1.0) -> float:
        """Settle one group's bets; returns the evidence.

        Args:
            wrong: share of the group's labelled items that were wrong.
            weight: of the group, as a share of the heaviest: the bet part of each stake.
        """
        if not (0 <= wrong <= 1 and 0 <= weight <= 1):
            raise ValueError("a share and a weight are within 0 and 1")
        bet = weight / self.bound * (wrong - self.bound)
        gains = [math.log1p(stake * bet) for stake in STAKES]
        self.wealth = [wealth + gain for wealth, gain in zip(self.wealth, gains, strict=True)]
        if self.starts < STARTS:
            self.starts += 1
            running = self.restarted or [-math.inf] * len(STAKES)
            self.restarted = [_sum((wealth, _PART)) for wealth in running]
        self.restarted = [w + gain for w, gain in zip(self.restarted, gains, strict=True)]
        self.groups += 1
        self.peak = max(self.peak, self._log())
        return self.evidence

    @property
    def evidence(self) -> float:
        return math.exp(min(self._log(), 700.0))

    def alarm(self, delta: float) -> bool:
        """True if the evidence ever reached 1 / `delta`."""
        return self.peak >= math.log(1 / delta)

    def state(self) -> dict[str, float | list[float]]:
        return {
            "bound": self.bound,
            "wealth": list(self.wealth),
            "groups": self.groups,
            "peak": self.peak,
            "restarted": list(self.restarted),
            "starts": self.starts,
        }

    def _log(self) -> float:
        stakes = math.log(len(STAKES))
        parts = [wealth + math.log(0.5) - stakes for wealth in self.wealth]
        parts += [wealth - stakes for wealth in self.restarted]
        if self.starts < STARTS:
            parts.append(math.log(STARTS - self.starts) + _PART)
        return _sum(parts)


def _sum(logarithms: Sequence[float]) -> float:
    top = max(logarithms)
    return top + math.log(math.fsum(math.exp(one - top) for one in logarithms))


def read(value: object) -> Monitor:
    """Of an earlier version, it begins to restart now. Raises Refused (`coefficients_invalid`)."""
    try:
        monitor = msgspec.convert(value, Monitor)
    except msgspec.ValidationError as error:
        raise _unusable() from error
    numbers = (monitor.bound, monitor.peak, *monitor.wealth, *monitor.restarted)
    if (
        not isinstance(value, dict)
        or set(value) - set(monitor.state())
        or not all(map(math.isfinite, numbers))
        or len(monitor.wealth) != len(STAKES)
        or len(monitor.restarted) != (len(STAKES) if monitor.starts else 0)
        or monitor.groups < 0
        or not 0 <= monitor.starts <= STARTS
    ):
        raise _unusable()
    return monitor


def _unusable() -> Refused:
    return Refused("coefficients_invalid", "The state of a monitor cannot be used.")
