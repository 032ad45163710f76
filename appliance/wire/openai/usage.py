"""`GET /v1/usage`: the use of the key that asks."""

from typing import Literal

from pydantic import BaseModel, Field


class QuotaUsage(BaseModel):
    """One quota; all of it is there again after `reset_seconds`, unless more is used."""

    limit_per_minute: int
    remaining: int = Field(description="running answers have set theirs aside")
    reset_seconds: int


class UsedInPeriod(BaseModel):
    """Use within an hour, a day or a month, in UTC."""

    period: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float = Field(description="time of the answers without their wait for a turn")


class KeyUsageReply(BaseModel):
    """Use since the key was made, and what it may use now; a missing limit is null.

    `models` is null where the key may use all; times are Unix seconds.
    """

    object: Literal["usage"] = "usage"
    key: str
    name: str
    since: int
    expires: int | None
    requests: int = Field(description="answers that have ended")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    models: list[str] | None
    concurrency: int | None
    request_quota: QuotaUsage | None
    token_quota: QuotaUsage | None
    periods: list[UsedInPeriod] | None = Field(
        default=None, description="with `per`, the oldest first"
    )
    uncounted: int = Field(
        default=0, description="the newest entries of the log, which `periods` lack: ask again"
    )
