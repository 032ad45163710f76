"""Requests and tokens per minute of each key and person, as token buckets. Pure: time is in seconds
of any steady clock.

Rules:
- A bucket holds one minute's worth and fills evenly.
- Tokens are reserved as prompt plus the most that may be answered, before anything is recorded
  or computed, and settled when the answer has ended. An answer whose length was not stated may
  exceed what was reserved: then the bucket owes, and the next request waits.
- A refusal takes nothing and has the seconds after which the request would pass.
"""

import math
from dataclasses import dataclass

from appliance.errors import BadRequest, Overloaded
from appliance.types import PERSON, Limits

_MINUTE_S = 60.0


@dataclass
class Bucket:
    """A key's remaining allowance.

    Attributes:
        level: units left; negative when more was used than was left.
        at: when the level was computed.
    """

    level: float
    at: float

    def take(self, units: int, per_minute: int, now: float) -> float:
        """Take units, or return the seconds after which they can be taken; 0 means taken."""
        self.fill(per_minute, now)
        if not per_minute:  # this appliance's part of a small limit
            return _MINUTE_S
        if self.level >= units:
            self.level -= units
            return 0.0
        return (units - self.level) * _MINUTE_S / per_minute

    def fill(self, per_minute: int, now: float) -> None:
        """Let time pass. A clock that stands still or steps back adds nothing."""
        gained = max(0.0, now - self.at) * per_minute / _MINUTE_S
        self.level, self.at = min(float(per_minute), self.level + gained), now


@dataclass(frozen=True)
class QuotaLeft:
    """The rest of one quota.

    Attributes:
        limit: units per minute.
        left: whole units that may be used now.
        full_in_s: seconds until all of the limit may be used again.
    """

    limit: int
    left: int
    full_in_s: float


class Quotas:
    """The buckets of all keys. A key without a limit has none."""

    def __init__(self) -> None:
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}

    def admit(self, key: str, limits: Limits, now: float) -> None:
        """Count one request. Raises Overloaded (`rate_limit_exceeded`) with seconds to wait."""
        if limits.rpm is not None:
            bucket = self._requests.setdefault(key, Bucket(limits.rpm, now))
            wait = bucket.take(1, limits.rpm, now)
            if wait:
                raise _refusal(key, f"{limits.rpm} requests per minute", wait)

    def give_back(self, key: str, limits: Limits) -> None:
        """Count one request less: another quota refused it."""
        if limits.rpm is not None:
            self._requests[key].level += 1

    def reserve(self, key: str, limits: Limits, tokens: int, now: float) -> None:
        """Reserve tokens.

        Raises:
            BadRequest: `request_exceeds_quota` when no waiting helps.
            Overloaded: `rate_limit_exceeded`, with the seconds to wait.
        """
        if limits.tpm is None:
            return
        if tokens > limits.tpm:
            message = f"The request may take {tokens} tokens;"
            message += f" the {_whose(key)} has {limits.tpm} per minute."
            raise BadRequest("request_exceeds_quota", message, param="max_tokens")
        bucket = self._tokens.setdefault(key, Bucket(limits.tpm, now))
        wait = bucket.take(tokens, limits.tpm, now)
        if wait:
            raise _refusal(key, f"{limits.tpm} tokens per minute", wait)

    def settle(self, key: str, limits: Limits, reserved: int, used: int, now: float) -> None:
        bucket = self._tokens.get(key)
        if limits.tpm is not None and bucket is not None:
            bucket.fill(limits.tpm, now)
            bucket.level = min(float(limits.tpm), bucket.level + reserved - used)

    def left(
        self, key: str, limits: Limits, now: float
    ) -> tuple[QuotaLeft | None, QuotaLeft | None]:
        """The rest of a key's requests and of its tokens; None without a limit."""
        return (
            _left(self._requests.get(key), limits.rpm, now),
            _left(self._tokens.get(key), limits.tpm, now),
        )


def _left(bucket: Bucket | None, per_minute: int | None, now: float) -> QuotaLeft | None:
    if per_minute is None:
        return None
    if bucket is None or not per_minute:
        return QuotaLeft(per_minute, per_minute, 0.0)
    bucket.fill(per_minute, now)
    missing = (per_minute - bucket.level) * _MINUTE_S / per_minute
    return QuotaLeft(per_minute, max(0, math.floor(bucket.level)), missing)


def _whose(key: str) -> str:
    return "person" if key.startswith(PERSON) else "key"


def _refusal(key: str, quota: str, wait: float) -> Overloaded:
    seconds = math.ceil(wait)
    return Overloaded(
        "rate_limit_exceeded",
        f"The {_whose(key)} has {quota}; try again in {seconds} s.",
        retry_after=seconds,
    )
