"""Age of the trust metadata, and its consequences. Pure: nothing here reads a clock.

Rules:
- Old metadata must not stop a plant: expired metadata, a clock that is behind, or metadata that
  differs from the log's refuses only new things (imports, approvals, updates). Models are served
  until `stale.refuse_serve_days` after the metadata expired.
- The clock may be a few minutes behind its floor (what was recorded or signed already); beyond
  that, expiry is judged by the floor.
"""

import datetime
from dataclasses import dataclass
from typing import Final

from appliance.clock import iso
from appliance.errors import PolicyRefused
from appliance.trust.policy.metadata import Trusted

WARN_DAYS: Final = (30, 14, 7)
_DAY_US: Final = 86_400_000_000
_TOLERANCE_US: Final = 300_000_000


@dataclass(frozen=True)
class FreshnessFinding:
    """One finding about the time; `since_us` is None where not known."""

    code: str
    message: str
    since_us: int | None = None


@dataclass(frozen=True)
class Freshness:
    """The verdict of the time, in microseconds since the epoch.

    Attributes:
        floor_us: the latest time that was recorded or signed.
        expires_us: when the first of the metadata expires; None in a lab.
        serve_until_us: until when models are served.
        undone: metadata that the log says was taken and is not here, as a sentence; or "".
    """

    now_us: int
    floor_us: int
    expires_us: int | None = None
    serve_until_us: int | None = None
    undone: str = ""

    @property
    def clock_behind(self) -> bool:
        return self.now_us + _TOLERANCE_US < self.floor_us

    @property
    def expired(self) -> bool:
        return self.expires_us is not None and self._time >= self.expires_us

    @property
    def stale(self) -> bool:
        """True if models may not be served any more."""
        return self.serve_until_us is not None and self._time >= self.serve_until_us

    @property
    def _time(self) -> int:
        return max(self.now_us, self.floor_us)

    @property
    def latest_us(self) -> int:
        """The present time, never before what was recorded or signed."""
        return self._time

    def check_clock(self) -> None:
        """Refuse while the clock is behind (`clock_behind`)."""
        if self.clock_behind:
            raise PolicyRefused(
                "clock_behind",
                f"The clock says {iso(self.now_us)}; {iso(self.floor_us)} was recorded or signed.",
            )

    def check_change(self) -> None:
        """Refuse new things (`clock_behind`, `trust_rollback`, `trust_expired`)."""
        self.check_clock()
        if self.undone:
            raise PolicyRefused("trust_rollback", self.undone)
        if self.expires_us is not None and self.expired:
            raise PolicyRefused(
                "trust_expired", f"The trust metadata expired at {iso(self.expires_us)}."
            )

    def check_serve(self) -> None:
        """Refuse to serve (`trust_stale`)."""
        if self.serve_until_us is not None and self.stale:
            raise PolicyRefused(
                "trust_stale",
                f"Under this trust metadata models are served until {iso(self.serve_until_us)}.",
            )

    def due(self) -> str:
        """The warning that is due once: `stale`, `stale-7d`, `expired`, `expires-30d`…; or ""."""
        if self.expires_us is None or self.serve_until_us is None:
            return ""
        if self.stale:
            return "stale"
        if self.expired:
            days = self._days_to(self.serve_until_us)
            return f"stale-{days}d" if days else "expired"
        days = self._days_to(self.expires_us)
        return f"expires-{days}d" if days else ""

    def _days_to(self, end_us: int) -> int | None:
        left = end_us - self._time
        return min((days for days in WARN_DAYS if left <= days * _DAY_US), default=None)

    def findings(self) -> list[FreshnessFinding]:
        told = []
        if self.clock_behind:
            told.append(
                FreshnessFinding(
                    "clock_behind",
                    f"The clock says {iso(self.now_us)}, but {iso(self.floor_us)} has been "
                    "already: imports, approvals and updates are refused until it is set.",
                )
            )
        if self.undone:
            told.append(
                FreshnessFinding(
                    "trust_rollback",
                    f"{self.undone} Imports and approvals are refused: find out who changed the "
                    "data directory, and run `appliance trust update DIR` with the newest "
                    "publication.",
                )
            )
        if self.expires_us is None or self.serve_until_us is None:
            return told
        if self.stale:
            told.append(
                FreshnessFinding(
                    "trust_stale",
                    f"The trust metadata expired at {iso(self.expires_us)}, and serving ended at "
                    f"{iso(self.serve_until_us)}: run `appliance trust update DIR`.",
                    self.serve_until_us,
                )
            )
        elif self.expired:
            told.append(
                FreshnessFinding(
                    "trust_expired",
                    f"The trust metadata expired at {iso(self.expires_us)}: imports and approvals "
                    f"are refused; models are served for {self._left(self.serve_until_us)} more.",
                    self.expires_us,
                )
            )
        elif days := self._days_to(self.expires_us):
            told.append(
                FreshnessFinding(
                    "trust_expires_soon",
                    f"The trust metadata expires in {self._left(self.expires_us)}, at "
                    f"{iso(self.expires_us)}: get newer from the security officer.",
                    self.expires_us - days * _DAY_US,
                )
            )
        return told

    def alarms(self) -> list[str]:
        return [found.message for found in self.findings()]

    def _left(self, end_us: int) -> str:
        hours = max(0, end_us - self._time) // 3_600_000_000
        return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"


def judge(trusted: Trusted | None, recorded_us: int, now_us: int, undone: str = "") -> Freshness:
    """Judge the age of the trusted metadata; None in a lab.

    Args:
        recorded_us: the latest time in the audit log since the last reset of the clock.
    """
    if trusted is None or trusted.policy is None:
        return Freshness(now_us, recorded_us, undone=undone)
    reset_us = trusted.reset.floor_us if trusted.reset else 0
    floor = max(recorded_us, trusted.policy.issued_us, reset_us)
    expires = _us(trusted.expires)
    until = expires + trusted.policy.stale.refuse_serve_days * _DAY_US
    return Freshness(now_us, floor, expires, until, undone)


def _us(at: datetime.datetime) -> int:
    return int(at.timestamp()) * 1_000_000
