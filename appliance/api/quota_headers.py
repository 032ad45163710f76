"""The headers that tell a key the rest of its quotas, in the words of either API.

Rules: a quota that a key has not is left out; the tokens that running answers reserved count as
used; the time is the one until the whole quota is available.

Sources: OpenAI API reference, rate limits; Anthropic API reference, rate limits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from appliance.admission.places import Shares
from appliance.admission.quotas import QuotaLeft
from appliance.api.dialect import speaks_anthropic
from appliance.clock import Clock, iso

_UNITS: Final = ("requests", "tokens")
_PARTS: Final = ("limit", "remaining", "reset")
NAMES: Final = tuple(f"x-ratelimit-{part}-{unit}" for unit in _UNITS for part in _PARTS)
ANTHROPIC_NAMES: Final = tuple(
    f"anthropic-ratelimit-{unit}-{part}" for unit in _UNITS for part in _PARTS
)


@dataclass(frozen=True)
class QuotaTelling:
    """Tells it of the key behind a request."""

    shares: Shares
    clock: Clock

    def headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """None on a public path."""
        principal = scope["state"].get("principal")
        if principal is None:
            return []
        left = self.shares.left(principal)
        if left == (None, None):
            return []
        if speaks_anthropic(scope["path"]):
            return list(self._told(ANTHROPIC_NAMES, left, moments=True))
        return list(self._told(NAMES, left, moments=False))

    def _told(
        self,
        names: tuple[str, ...],
        left: tuple[QuotaLeft | None, QuotaLeft | None],
        *,
        moments: bool,
    ) -> Iterator[tuple[bytes, bytes]]:
        for place, quota in enumerate(left):
            if quota is None:
                continue
            seconds = math.ceil(quota.full_in_s)
            reset = f"{seconds}s"
            if moments:
                reset = iso(self.clock.wall_us() + seconds * 1_000_000)
            values = (str(quota.limit), str(quota.left), reset)
            for name, value in zip(names[3 * place : 3 * place + 3], values, strict=True):
                yield name.encode(), value.encode()
