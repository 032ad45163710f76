"""The standing of this appliance in its site: whether it hears others, and its part of limits.

Rules: it is stale from its start until it heard another one: a directory that was put back may hold
keys that were revoked since. The first appliances by name take a limit's remainder; each may run
one answer of a key at least.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from appliance.errors import Unavailable
from appliance.trust.policy.members import SiteRule
from appliance.types import Limits

_RETRY_S: Final = 5


class SiteStanding:
    """Callable from any thread.

    Args:
        now: seconds of a steady clock.

    Attributes:
        place: of this appliance among the members by name; None where it is not listed.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._heard: float | None = None
        self._rule = SiteRule()
        self.place: int | None = None

    def take(self, rule: SiteRule, hint: str) -> None:
        """Apply the present policy.

        Args:
            hint: of the own key.
        """
        names = sorted(member.name for member in rule.members.values())
        mine = rule.members.get(hint)
        self._rule, self.place = rule, names.index(mine.name) if mine else None

    def hear(self) -> None:
        """Note that another appliance answered."""
        self._heard = self._now()

    @property
    def heard_s(self) -> float | None:
        """Seconds since another appliance answered; None for never."""
        return None if self._heard is None else self._now() - self._heard

    @property
    def stale(self) -> bool:
        """True if it is a member and heard no other for too long."""
        heard = self.heard_s
        return self.place is not None and (heard is None or heard > self._rule.stale_seconds)

    def share(self, limits: Limits) -> Limits:
        """This appliance's part of a key's limits.

        Raises:
            Unavailable: `site_stale` where the policy lets it wait until it hears another.
        """
        if self.place is None:
            return limits
        if self._rule.refuse_stale and self.stale:
            message = f"No other appliance answered for {self._rule.stale_seconds} s."
            raise Unavailable("site_stale", message, retry_after=_RETRY_S)
        return part(limits, self.place, len(self._rule.members))


@functools.lru_cache(maxsize=4096)
def part(limits: Limits, place: int, members: int) -> Limits:
    """One of as many parts as there are members."""

    def of(limit: int | None) -> int | None:
        return None if limit is None else limit // members + (place < limit % members)

    runs = of(limits.concurrency)
    return replace(
        limits,
        rpm=of(limits.rpm),
        tpm=of(limits.tpm),
        concurrency=None if runs is None else max(1, runs),
    )
