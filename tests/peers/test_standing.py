"""The standing of an appliance in its site, and its part of limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Unavailable
from appliance.peers.standing import SiteStanding, part
from appliance.trust.policy.members import SiteMember, SiteRule
from appliance.types import Limits
from tests.trust.forge import new_key
from tests.trust.policies import hint

KEY = new_key()
ONE = SiteMember("north", "north+1+x", hint(KEY), KEY.public_key())
TWO = SiteMember("south", "south+1+x", "ff", KEY.public_key())


def standing(rule: SiteRule, hint: str = ONE.hint) -> tuple[SiteStanding, list[float]]:
    now = [100.0]
    made = SiteStanding(lambda: now[0])
    made.take(rule, hint)
    return made, now


def rule(*, refuse: bool) -> SiteRule:
    return SiteRule({one.hint: one for one in (ONE, TWO)}, 60, refuse)


def test_a_member_is_stale_until_it_hears_another_and_again_after_a_minute() -> None:
    made, now = standing(rule(refuse=True))
    for _ in range(2):
        assert made.stale
        with pytest.raises(Unavailable) as caught:
            made.share(Limits())
        assert caught.value.code == "site_stale" and caught.value.retry_after
        made.hear()
        now[0] += 60
        assert made.share(Limits(rpm=7)).rpm == 4
        now[0] += 1


def test_silence_is_told_once_it_is_as_long_as_the_policy_says() -> None:
    made, now = standing(rule(refuse=False))
    told = []
    for seconds in (0, 60, 1):
        now[0] += seconds
        told.append(bool(made.silence))
    assert told == [False, False, True]  # a start is no alarm
    assert "may still be taken" in made.silence
    made.take(rule(refuse=True), ONE.hint)
    assert "are refused" in made.silence
    heard = made.hear()
    now[0] += 60
    assert made.silence == "" and made.ago(heard) == 60 and made.ago(None) is None  # the control
    now[0] += 1
    assert made.silence
    made.take(rule(refuse=True), "ee")
    assert made.silence == ""
    made.check()  # whom the policy does not list is alone, and waits for nobody


def test_a_policy_may_let_it_answer_all_the_same() -> None:
    made, _ = standing(rule(refuse=False))
    assert made.stale and made.share(Limits(rpm=7)).rpm == 4


def test_whom_the_policy_does_not_list_is_alone() -> None:
    made, _ = standing(rule(refuse=True), "ee")
    assert not made.stale and made.share(Limits(rpm=7)) == Limits(rpm=7)
    made.take(rule(refuse=True), ONE.hint)
    assert made.stale


@given(st.integers(1, 1_000_000), st.integers(2, 30))
def test_the_parts_of_a_limit_add_up_to_it(limit: int, members: int) -> None:
    limits = Limits(rpm=limit, tpm=limit, concurrency=limit)
    parts = [part(limits, place, members) for place in range(members)]
    assert sum(one.rpm or 0 for one in parts) == sum(one.tpm or 0 for one in parts) == limit
    assert all((one.concurrency or 0) >= 1 for one in parts)
    whole = part(Limits(), 0, members)
    assert (whole.rpm, whole.tpm, whole.concurrency) == (None, None, None)
