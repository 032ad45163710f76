"""A key is told what it has left of its quotas, in the words of the API that it speaks."""

import pytest

from appliance.admission.places import Shares
from appliance.api.quota_headers import ANTHROPIC_NAMES, NAMES, QuotaTelling
from appliance.clock import FixedClock
from appliance.types import Limits, Principal
from tests.api.conftest import Lan
from tests.api.fake import CARD

HI = [{"role": "user", "content": "Hi"}]


def told(path: str, limits: Limits, *, used: int = 0, tokens: int = 0) -> dict[str, str]:
    shares, who = Shares(9, 9, now=lambda: 5.0), Principal("k", "app", limits=limits)
    for _ in range(used):
        shares.count(who)
    shares.quotas.reserve("k", limits, tokens, 5.0)
    telling = QuotaTelling(shares, FixedClock())
    headers = telling.headers({"state": {"principal": who}, "path": path})
    return {name.decode(): value.decode() for name, value in headers}


def test_openai_names_have_what_is_left_and_the_seconds_until_all_of_it_is_back() -> None:
    found = told("/v1/chat/completions", Limits(rpm=60, tpm=600), used=12, tokens=95)
    assert found == dict(zip(NAMES, ("60", "48", "12s", "600", "505", "10s"), strict=True))


def test_anthropic_names_have_a_moment() -> None:
    found = told("/v1/messages/count_tokens", Limits(rpm=60, tpm=600), used=12)
    moments = ("2025-11-24T16:00:12Z", "2025-11-24T16:00:00Z")
    values = ("60", "48", moments[0], "600", "600", moments[1])
    assert found == dict(zip(ANTHROPIC_NAMES, values, strict=True))


def test_a_limit_that_a_key_has_not_is_not_told() -> None:
    assert told("/v1/models", Limits()) == {}
    assert set(told("/v1/models", Limits(tpm=5))) == set(NAMES[3:])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": CARD.id, "messages": HI}),
        ("/v1/chat/completions", {"model": CARD.id, "messages": HI, "stream": True}),
        ("/v1/chat/completions", {"model": "nothing", "messages": HI}),
    ],
)
async def test_answers_streams_and_refusals_carry_them(
    lan: Lan, path: str, body: dict[str, object]
) -> None:
    _, secret = lan.services.keys.create(f"limited {len(str(body))}", limits=Limits(rpm=7))
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        reply = await client.post(path, json=body)
    assert reply.headers["x-ratelimit-limit-requests"] == "7"
    assert reply.headers["x-ratelimit-remaining-requests"] == "7"  # no place at a scripted engine
    assert "x-ratelimit-limit-tokens" not in reply.headers


async def test_a_key_without_limits_and_a_public_path_are_told_nothing(lan: Lan) -> None:
    for reply in (await lan.client.get("/v1/models"), await lan.client.get("/healthz")):
        assert not [name for name in reply.headers if "ratelimit" in name]
