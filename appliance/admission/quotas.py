"""Requests and tokens per minute of each key and person, as token buckets. Pure: time is in seconds
of any steady clock.

Rules:
- A bucket holds one minute's worth and fills evenly.
- Tokens are reserved before anything is recorded: the prompt and the most that may be answered. The
  end settles them. An answer of unstated length may exceed them: then the bucket owes, and the next
  request waits.
- A refusal takes nothing and says when the request would pass.
- At a site a bucket has this appliance's part of the limit, and units that others lend. Units move,
  none is made: a lost answer loses them.
- A full bucket that is unused for a minute is forgotten.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from appliance.errors import BadRequest, Overloaded
from appliance.types import PERSON, Limits, PartLimits

_MINUTE_S = 60.0
_ASKED_S = 2
"""Seconds within which the other appliances of a site have been asked."""
_POOR_S = 10.0
_MOST = 10_000
"""Buckets beyond which unknown accounts are lent nothing."""
_LONGEST = 1_024


class QuotaUnits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units of one bucket: tokens, or else requests."""

    account: str
    tokens: bool
    units: int


@dataclass
class Bucket:
    """An account's allowance.

    Attributes:
        level: units left; negative when more was used, above the part with lent units.
        at: when the level was computed.
        per_minute: units that it fills by.
        wanted: of the largest request that waits, until `until`.
    """

    level: float
    at: float
    per_minute: int = 0
    wanted: int = 0
    until: float = -math.inf

    def take(self, units: int, per_minute: int) -> float:
        """Take units of a filled bucket, or return the seconds to wait; 0 means taken."""
        if self.level >= units:
            self.level -= units
            self.wanted = self.wanted if units < self.wanted else 0
            return 0.0
        if not per_minute:  # this appliance's part of a small limit
            return _MINUTE_S
        return (units - self.level) * _MINUTE_S / per_minute

    def fill(self, per_minute: int, most: int, now: float) -> None:
        """Let time pass. `most` bounds lent units, too."""
        filled = max(self.level, min(float(per_minute), self._grown(per_minute, now)))
        self.level, self.at, self.per_minute = min(filled, float(most)), now, per_minute

    def waits(self, units: int, seconds: float) -> None:
        """Keep units for a refused request."""
        self.wanted = max(units, self.wanted if self.at < self.until else 0)
        self.until = self.at + seconds + _ASKED_S

    def lend(self, units: int, *, before: bool) -> int:
        """Take up to half of what no request waits for, or of all if it lacks more."""
        spare, missing = self.level, math.ceil(self.wanted - self.level)
        if self.at < self.until:
            fits = self.wanted <= self.per_minute
            if fits or missing < units or (missing == units and not before):
                spare -= self.wanted
        lent = max(0, min(units, math.floor((spare + 1) / 2)))
        self.level -= lent
        return lent

    def forgettable(self, now: float) -> bool:
        unused = now - self.at >= _MINUTE_S
        return unused and self._grown(self.per_minute, now) >= self.per_minute

    def _grown(self, per_minute: int, now: float) -> float:
        return self.level + max(0.0, now - self.at) * per_minute / _MINUTE_S


@dataclass(frozen=True)
class QuotaLeft:
    """The rest of one quota.

    Attributes:
        limit: units per minute.
        left: whole units now.
        full_in_s: seconds until the bucket is full.
    """

    limit: int
    left: int
    full_in_s: float


class Quotas:
    """The buckets of all keys. A key without a limit has none. Callable from any thread."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, bool], Bucket] = {}
        self._lacking: dict[tuple[str, bool], int] = {}
        self._poor: dict[tuple[str, bool], float] = {}
        self._forgot = -math.inf
        self._lock = threading.RLock()

    def admit(self, key: str, limits: Limits, now: float) -> None:
        """Count one request. Raises Overloaded (`rate_limit_exceeded`) with seconds to wait."""
        self._take(key, limits, False, 1, now)

    def give_back(self, key: str, limits: Limits) -> None:
        """Count one request less: another quota refused it."""
        if limits.rpm is not None:
            with self._lock:
                self._buckets[key, False].level += 1

    def reserve(self, key: str, limits: Limits, tokens: int, now: float) -> None:
        """Reserve tokens.

        Raises:
            BadRequest: `request_exceeds_quota` when no waiting helps.
            Overloaded: `rate_limit_exceeded`, with the seconds to wait.
        """
        whole = _whole(limits).tpm
        if whole is not None and tokens > whole:
            message = f"The request may take {tokens} tokens;"
            message += f" the {_whose(key)} has {whole} per minute."
            raise BadRequest("request_exceeds_quota", message, param="max_tokens")
        self._take(key, limits, True, tokens, now)

    def settle(self, key: str, limits: Limits, reserved: int, used: int, now: float) -> None:
        with self._lock:
            whole = _whole(limits).tpm
            if whole is not None and (reserved or used):
                bucket = self._bucket(key, limits, True, now)
                bucket.level = min(float(whole), bucket.level + reserved - used)

    def left(
        self, key: str, limits: Limits, now: float
    ) -> tuple[QuotaLeft | None, QuotaLeft | None]:
        """The rest of a key's requests and of its tokens; None without a limit."""
        with self._lock:
            rest = [
                None if limit is None else _left(self._bucket(key, limits, tokens, now), limit)
                for tokens, limit in ((False, limits.rpm), (True, limits.tpm))
            ]
        return rest[0], rest[1]

    def lacking(self) -> list[QuotaUnits]:
        """Units that requests lacked here since the last call."""
        with self._lock:
            found, self._lacking = self._lacking, {}
        return [QuotaUnits(account, tokens, units) for (account, tokens), units in found.items()]

    def lend(
        self,
        wanted: Iterable[QuotaUnits],
        limits_of: Callable[[str], Limits | None],
        now: float,
        *,
        before: bool,
    ) -> list[int]:
        """Take units for another appliance; `before`: also where both lack equally many."""
        lent = []
        with self._lock:
            self._forget(now)
            for one in wanted:
                limits, units = limits_of(one.account), 0
                known = (one.account, one.tokens) in self._buckets
                known |= len(self._buckets) < _MOST and len(one.account) <= _LONGEST
                if known and limits is not None and _of(limits, one.tokens) is not None:
                    bucket = self._bucket(one.account, limits, one.tokens, now)
                    units = bucket.lend(one.units, before=before)
                lent.append(units)
        return lent

    def borrowed(self, found: Mapping[QuotaUnits, int], now: float) -> None:
        """Add what the others lent, by what was lacking."""
        with self._lock:
            for wanted, units in found.items():
                name = wanted.account, wanted.tokens
                if name in self._buckets:  # or it was forgotten meanwhile
                    self._buckets[name].level += units
                if units:
                    self._poor.pop(name, None)
                else:
                    self._poor[name] = now

    def _take(self, key: str, limits: Limits, tokens: bool, units: int, now: float) -> None:
        limit, name = _of(limits, tokens), (key, tokens)
        if limit is None:
            return
        with self._lock:
            bucket = self._bucket(key, limits, tokens, now)
            wait = bucket.take(units, limit)
            if wait and isinstance(limits, PartLimits):
                missing = math.ceil(units - bucket.level)
                self._lacking[name] = max(missing, self._lacking.get(name, 0))
                if units > limit or now - self._poor.get(name, -math.inf) > _POOR_S:
                    wait = min(wait, _ASKED_S)
                bucket.waits(units, wait)
        if wait:
            unit = "tokens" if tokens else "requests"
            raise _refusal(key, f"{_of(_whole(limits), tokens)} {unit} per minute", wait)

    def _forget(self, now: float) -> None:
        if now - self._forgot < _MINUTE_S:
            return
        self._forgot = now
        kept = self._buckets.items()
        self._buckets = {name: one for name, one in kept if not one.forgettable(now)}
        self._poor = {name: at for name, at in self._poor.items() if now - at <= _POOR_S}

    def _bucket(self, key: str, limits: Limits, tokens: bool, now: float) -> Bucket:
        """A filled one; a new one is full."""
        self._forget(now)
        limit, most = _of(limits, tokens) or 0, _of(_whole(limits), tokens) or 0
        bucket = self._buckets.setdefault((key, tokens), Bucket(limit, now))
        bucket.fill(limit, most, now)
        return bucket


def _of(limits: Limits, tokens: bool) -> int | None:
    return limits.tpm if tokens else limits.rpm


def _whole(limits: Limits) -> Limits:
    return limits.whole if isinstance(limits, PartLimits) else limits


def _left(bucket: Bucket, per_minute: int) -> QuotaLeft:
    level = min(float(per_minute), bucket.level)
    missing = (per_minute - level) * _MINUTE_S / per_minute if per_minute else 0.0
    return QuotaLeft(per_minute, max(0, math.floor(level)), missing)


def _whose(key: str) -> str:
    return "person" if key.startswith(PERSON) else "key"


def _refusal(key: str, quota: str, wait: float) -> Overloaded:
    seconds = math.ceil(wait)
    return Overloaded(
        "rate_limit_exceeded",
        f"The {_whose(key)} has {quota}; try again in {seconds} s.",
        retry_after=seconds,
    )
