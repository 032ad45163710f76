"""`GET /v1/usage`: the use of the key that asks, and of no other."""

import asyncio
import math
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from appliance.admission.quotas import QuotaLeft
from appliance.api.deps import CallerDep, services_of
from appliance.types import Caller, UsedPer
from appliance.wire.openai.usage import KeyUsageReply, QuotaUsage, UsedInPeriod

if TYPE_CHECKING:
    from appliance.app import Services

router = APIRouter(tags=["usage"])
_ANSWER_S = 1.0


@router.get("/v1/usage")
async def usage(request: Request, caller: CallerDep, per: UsedPer | None = None) -> KeyUsageReply:
    """The key's own use, and what is left of its quotas; with `per` by hour, day or month."""
    services = services_of(request)
    counted = None
    if per is not None:
        counted = await asyncio.to_thread(services.usage.follow, _ANSWER_S)
    periods = None if per is None else await asyncio.to_thread(_periods, services, caller, per)
    key = services.keys.get(caller.principal.key_id)
    requests, tokens = services.shares.left(caller.principal)
    used = key.usage
    return KeyUsageReply(
        key=key.id,
        name=key.name,
        since=key.created_us // 1_000_000,
        expires=None if key.expires_us is None else key.expires_us // 1_000_000,
        requests=used.requests,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        total_tokens=used.prompt_tokens + used.completion_tokens,
        models=list(key.models) or None,
        concurrency=key.limits.concurrency,
        request_quota=_quota(requests),
        token_quota=_quota(tokens),
        periods=periods,
        uncounted=0 if counted is None else counted.left,
    )


def _periods(services: "Services", caller: Caller, per: UsedPer) -> list[UsedInPeriod]:
    found = services.usage.used("app", per, key_id=caller.principal.key_id)
    return [
        UsedInPeriod(
            period=period,
            requests=sums.requests,
            prompt_tokens=sums.prompt_tokens,
            completion_tokens=sums.completion_tokens,
            seconds=sums.busy_us / 1e6,
        )
        for (period, _), sums in found.items()
    ]


def _quota(left: QuotaLeft | None) -> QuotaUsage | None:
    if left is None:
        return None
    return QuotaUsage(
        limit_per_minute=left.limit,
        remaining=left.left,
        reset_seconds=math.ceil(left.full_in_s),
    )
