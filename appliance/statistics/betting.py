"""A monitor that may be looked at after every label: is the error rate above a bound?

Rules: one bet a group, with the share of its items that were wrong; every stake is fixed before
the group is seen; the evidence is the mean of the wealth of all stakes; under a true rate of at
most `bound` it reaches 1 / delta with probability at most delta, however often it is looked at;
the state is JSON.
Sources: Ville 1939; Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86, 2024, "Estimating means of
bounded random variables by betting"; Shafer, J. R. Stat. Soc. A 184, 2021.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.errors import Refused

STAKES: Final = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the largest stake that can never lose everything, 1 / bound."""


@dataclass
class Monitor:
    """The evidence against an error rate of at most `bound`.

    Attributes:
        wealth: natural logarithm of what each stake has made of 1.
        groups: how many bets were settled.
        peak: the largest evidence so far, natural logarithm.
    """

    bound: float
    wealth: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))
    groups: int = 0
    peak: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.bound < 1:
            raise ValueError("a bound is strictly between 0 and 1")

    def observe(self, wrong: float) -> float:
        """Settle the bets on one group, and return the evidence.

        Args:
            wrong: share of the group's items that were wrong; an overdue label is wrong.

        Raises:
            ValueError: the share is not within 0 and 1.
        """
        if not 0 <= wrong <= 1:
            raise ValueError("a share is within 0 and 1")
        for index, stake in enumerate(STAKES):
            self.wealth[index] += math.log1p(stake / self.bound * (wrong - self.bound))
        self.groups += 1
        self.peak = max(self.peak, self._log())
        return self.evidence

    @property
    def evidence(self) -> float:
        """The e-value: how many times over the bets have multiplied what was staked."""
        return math.exp(min(self._log(), 700.0))

    def alarm(self, delta: float) -> bool:
        """Whether the evidence ever reached 1 / `delta`."""
        return self.peak >= math.log(1 / delta)

    def state(self) -> dict[str, Any]:
        """The monitor as JSON values."""
        return {
            "bound": self.bound,
            "wealth": list(self.wealth),
            "groups": self.groups,
            "peak": self.peak,
        }

    def _log(self) -> float:
        top = max(self.wealth)
        return top + math.log(math.fsum(math.exp(w - top) for w in self.wealth) / len(self.wealth))


def read(value: object) -> Monitor:
    """A monitor from its state.

    Raises:
        Refused: `coefficients_invalid`.
    """
    table = value if isinstance(value, dict) else {}
    wealth, groups = table.get("wealth"), table.get("groups")
    numbers = [table.get("bound"), table.get("peak"), *(wealth if isinstance(wealth, list) else [])]
    if (
        set(table) != {"bound", "wealth", "groups", "peak"}
        or any(type(v) not in (int, float) or not math.isfinite(v) for v in numbers)
        or len(numbers) != len(STAKES) + 2
        or type(groups) is not int
        or groups < 0
        or not 0 < numbers[0] < 1
    ):
        raise Refused("coefficients_invalid", "The state of a monitor cannot be used.")
    return Monitor(
        float(numbers[0]), [float(v) for v in numbers[2:]], groups, max(0.0, float(numbers[1]))
    )
