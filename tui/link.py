"""The state of the connection to the server, from what the polls brought. Pure.

Rules: the program never ends because the server does; what was last known stays, with its age.
"""

import enum
from dataclasses import dataclass

from appliance.errors import ApplianceError

STALE_SECONDS = 5.0


class LinkState(enum.StrEnum):
    """What the person can expect of the screen."""

    CONNECTING = "CONNECTING"
    LIVE = "LIVE"
    STALE = "STALE"
    DOWN = "DOWN"
    DENIED = "DENIED"
    INCOMPATIBLE = "INCOMPATIBLE"


_BY_CODE = {"forbidden": LinkState.DENIED, "incompatible_server": LinkState.INCOMPATIBLE}


@dataclass(frozen=True)
class Link:
    """What is known of the connection; times are seconds of a monotonic clock.

    Attributes:
        fresh_at: when the last data came; None while there are none.
        error: why the newest poll brought none.
    """

    fresh_at: float | None = None
    error: ApplianceError | None = None

    def succeeded(self, now: float) -> "Link":
        """After a poll that brought data."""
        return Link(fresh_at=now)

    def failed(self, error: ApplianceError) -> "Link":
        """After a poll that brought none."""
        return Link(fresh_at=self.fresh_at, error=error)

    def state(self, now: float) -> LinkState:
        """The state at a moment."""
        if self.error is not None:
            return _BY_CODE.get(self.error.code, LinkState.DOWN)
        if self.fresh_at is None:
            return LinkState.CONNECTING
        return LinkState.STALE if now - self.fresh_at > STALE_SECONDS else LinkState.LIVE

    def words(self, now: float) -> str:
        """The state, the age of what is shown, and what to do."""
        state = self.state(now)
        parts = [state.value]
        if state not in (LinkState.LIVE, LinkState.CONNECTING):
            parts.append(
                "no data yet" if self.fresh_at is None else f"data {now - self.fresh_at:.0f} s old"
            )
        if self.error is not None:
            parts += [self.error.message, self.error.hint]
        return " | ".join(parts)
