"""The reply that tells a key its use."""

from appliance.wire.openai.usage import KeyUsageReply, QuotaUsage


def test_what_a_key_has_not_is_null() -> None:
    quota = QuotaUsage(limit_per_minute=6, remaining=5, reset_seconds=10)
    reply = KeyUsageReply(
        key="k", name="app", since=1, expires=None, requests=0, prompt_tokens=0,
        completion_tokens=0, total_tokens=0, models=None, concurrency=None, request_quota=quota,
        token_quota=None,
    )  # fmt: skip
    found = reply.model_dump()
    assert (found["object"], found["models"], found["token_quota"]) == ("usage", None, None)
    assert found["request_quota"]["remaining"] == 5
