"""The standing of this appliance in its site: whether it hears others, and its part of limits.

Rules: it is stale from its start until it heard another one: a directory that was put back may hold
keys that were revoked since. The first appliances by name take a limit's remainder; each may run
one answer of a key at least.
"""

import functools
import time
from collections.abc import Callable
from typing import Final

from appliance.errors import Unavailable
from appliance.trust.policy.members import SiteRule
from appliance.types import Limits, PartLimits

_RETRY_S: Final = 5


class SiteStanding:
    """Callable from any thread.

    Args:
        now: seconds of a steady clock.

    Attributes:
        place: of this appliance among the members by name; None where it is not listed.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._begun = now, now()
        self._heard: float | None = None
        self._rule = SiteRule()
        self.place: int | None = None

    def take(self, rule: SiteRule, hint: str) -> None:
        names = sorted(member.name for member in rule.members.values())
        mine = rule.members.get(hint)
        self._rule, self.place = rule, names.index(mine.name) if mine else None

    def hear(self) -> float:
        """Note that another appliance answered; when."""
        self._heard = self._now()
        return self._heard

    def ago(self, heard: float | None) -> float | None:
        """Seconds since something was heard; None for never."""
        return None if heard is None else self._now() - heard

    @property
    def stale(self) -> bool:
        """True if it is a member and heard no other for too long."""
        heard = self.ago(self._heard)
        return self.place is not None and (heard is None or heard > self._rule.stale_seconds)

    @property
    def silence(self) -> str:
        """The words of an alarm; "" while it hears another one, or began less than so long ago."""
        since = self._begun if self._heard is None else self._heard
        if not self.stale or self._now() - since <= self._rule.stale_seconds:
            return ""
        then = "keys that were revoked since may still be taken"
        if self._rule.refuse_stale:
            then = "approvals, looks and keys of apps are refused"
        return f"No other appliance of the site answered for {self._rule.stale_seconds} s: {then}."

    def check(self) -> None:
        """Raises Unavailable (`site_stale`) where the policy has it wait to hear another one."""
        if self._rule.refuse_stale and self.stale:
            message = f"No other appliance answered for {self._rule.stale_seconds} s."
            raise Unavailable("site_stale", message, retry_after=_RETRY_S)

    def share(self, limits: Limits) -> Limits:
        if self.place is None:
            return limits
        self.check()
        return part(limits, self.place, len(self._rule.members))


@functools.lru_cache(maxsize=4096)
def part(limits: Limits, place: int, members: int) -> PartLimits:
    """One of the parts."""

    def of(limit: int | None) -> int | None:
        return None if limit is None else limit // members + (place < limit % members)

    runs = of(limits.concurrency)
    return PartLimits(
        rpm=of(limits.rpm),
        tpm=of(limits.tpm),
        concurrency=None if runs is None else max(1, runs),
        weight=limits.weight,
        priority=limits.priority,
        whole=limits,
    )
