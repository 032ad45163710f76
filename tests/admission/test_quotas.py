"""Requests and tokens per minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admission.quotas import Quotas, QuotaUnits
from appliance.errors import BadRequest, Overloaded
from appliance.peers.standing import part
from appliance.types import Limits


def refused(quotas: Quotas, limits: Limits, now: float, tokens: int | None = None) -> int:
    with pytest.raises(Overloaded) as caught:
        if tokens is None:
            quotas.admit("k", limits, now)
        else:
            quotas.reserve("k", limits, tokens, now)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_minutes_requests_pass_at_once_and_then_at_the_rate() -> None:
    quotas, limits = Quotas(), Limits(rpm=30)
    for _ in range(30):
        quotas.admit("k", limits, 0.0)
    assert refused(quotas, limits, 0.0) == 2
    assert refused(quotas, limits, 1.5) == 1
    quotas.admit("k", limits, 2.0)
    assert refused(quotas, limits, 2.0) == 2


def test_keys_do_not_share_a_bucket() -> None:
    quotas, limits = Quotas(), Limits(rpm=1)
    quotas.admit("k", limits, 0.0)
    quotas.admit("other", limits, 0.0)
    assert refused(quotas, limits, 0.0) == 60


def test_without_a_limit_nothing_is_counted() -> None:
    quotas = Quotas()
    for _ in range(10_000):
        quotas.admit("k", Limits(), 0.0)
        quotas.reserve("k", Limits(), 10**9, 0.0)
        quotas.settle("k", Limits(), 10**9, 0, 0.0)


def test_tokens_are_reserved_and_what_was_not_used_comes_back() -> None:
    quotas, limits = Quotas(), Limits(tpm=600)
    quotas.reserve("k", limits, 500, 0.0)
    assert refused(quotas, limits, 0.0, tokens=200) == 10
    quotas.settle("k", limits, 500, 100, 0.0)
    quotas.reserve("k", limits, 200, 0.0)


def test_an_answer_longer_than_reserved_leaves_a_debt() -> None:
    quotas, limits = Quotas(), Limits(tpm=600)
    quotas.reserve("k", limits, 600, 0.0)
    quotas.settle("k", limits, 600, 1200, 0.0)
    assert refused(quotas, limits, 0.0, tokens=1) == 61
    quotas.reserve("k", limits, 1, 61.0)


def test_a_request_that_never_fits_is_not_told_to_wait() -> None:
    with pytest.raises(BadRequest) as caught:
        Quotas().reserve("k", Limits(tpm=100), 101, 0.0)
    assert caught.value.code == "request_exceeds_quota"


def test_a_clock_that_steps_back_gives_nothing() -> None:
    quotas, limits = Quotas(), Limits(rpm=1)
    quotas.admit("k", limits, 100.0)
    refused(quotas, limits, 50.0)
    refused(quotas, limits, 100.0)


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 400), st.integers(0, 400)), max_size=60),
)
def test_no_minute_gives_more_than_two_minutes_worth(
    tpm: int, steps: list[tuple[float, int, int]]
) -> None:
    """A bucket of one minute that fills in one minute: at most 2 x tpm reserved in any minute."""
    quotas, limits, now = Quotas(), Limits(tpm=tpm), 0.0
    granted: list[tuple[float, int]] = []
    for wait, tokens, used in steps:
        now += wait
        try:
            quotas.reserve("k", limits, tokens, now)
        except (Overloaded, BadRequest):
            continue
        spent = min(used, tokens)
        quotas.settle("k", limits, tokens, spent, now)
        granted.append((now, spent))
    for at, _ in granted:
        assert sum(n for t, n in granted if at <= t <= at + 60) <= 2 * tpm + 1e-6


@given(st.integers(1, 600), st.integers(1, 600), st.floats(0, 100))
def test_after_the_stated_time_the_request_passes(tpm: int, first: int, gap: float) -> None:
    quotas, limits = Quotas(), Limits(tpm=tpm)
    try:
        quotas.reserve("k", limits, min(first, tpm), 0.0)
        quotas.reserve("k", limits, tpm, gap)
    except Overloaded as refusal:
        assert refusal.retry_after is not None
        quotas.reserve("k", limits, tpm, gap + refusal.retry_after + 1e-6)


def test_a_part_of_nothing_lets_nothing_pass() -> None:
    """Of a limit below the number of appliances of a site, some have no part."""
    quotas, limits = Quotas(), Limits(rpm=0, tpm=0)
    with pytest.raises(Overloaded) as caught:
        quotas.admit("k", limits, 0.0)
    assert caught.value.code == "rate_limit_exceeded" and caught.value.retry_after == 60
    assert [left and left.left for left in quotas.left("k", limits, 1.0)] == [0, 0]


class Several:
    """The quotas of one key on several appliances."""

    def __init__(self, limit: int, parts: int) -> None:
        self.places = [Quotas() for _ in range(parts)]
        self.limits = [part(Limits(rpm=limit, tpm=limit), place, parts) for place in range(parts)]

    def takes(self, place: int, tokens: int, now: float) -> bool:
        try:
            self.places[place].reserve("k", self.limits[place], tokens, now)
        except (Overloaded, BadRequest):
            return False
        return True

    def asks(self, place: int, now: float, lost: bool = False) -> None:
        """Ask the others once; `lost`: their answers do not come."""
        found = dict.fromkeys(self.places[place].lacking(), 0)
        for other, quotas in enumerate(self.places):
            if other != place:
                left = [QuotaUnits(w.account, w.tokens, w.units - found[w]) for w in found]
                lent = quotas.lend(left, {"k": self.limits[other]}.get, now)
                for wanted, units in zip(list(found), lent, strict=True):
                    found[wanted] += 0 if lost else units
        self.places[place].borrowed(found, now)


def test_a_request_above_the_part_passes_once_the_others_were_asked() -> None:
    site = Several(120, 3)
    assert not site.takes(0, 110, 0.0)
    rounds = 0
    while not site.takes(0, 110, 0.0):
        rounds += 1
        assert rounds < 10
        site.asks(0, 0.0)
    assert not any(site.takes(place, 11, 0.0) for place in range(3))  # ten are left in all
    with pytest.raises(BadRequest):
        site.places[0].reserve("k", site.limits[0], 121, 0.0)


def test_a_part_of_nothing_is_lent_units() -> None:
    site = Several(2, 3)
    assert site.limits[2].tpm == 0 and not site.takes(2, 1, 0.0)
    site.asks(2, 0.0)
    assert site.takes(2, 1, 0.0)
    assert site.places[2].lacking() == []


def test_who_lacks_lends_nothing_and_a_poor_site_says_the_true_wait() -> None:
    site = Several(120, 3)
    for place in range(3):
        assert site.takes(place, 40, 0.0) and not site.takes(place, 40, 0.0)
    wait = [refused(site.places[0], site.limits[0], 0.0, tokens=40)]
    site.asks(0, 0.0)
    wait.append(refused(site.places[0], site.limits[0], 0.0, tokens=40))
    assert wait == [2, 60]


def test_a_lowered_limit_holds_at_once() -> None:
    quotas = Quotas()
    quotas.reserve("k", Limits(tpm=1000), 1, 0.0)
    quotas.reserve("k", Limits(tpm=10), 10, 0.0)
    assert refused(quotas, Limits(tpm=10), 0.0, tokens=10) == 60


@given(
    st.integers(1, 300),
    st.integers(2, 5),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 200), st.floats(0, 9), st.booleans()),
        max_size=80,
    ),
)
def test_several_appliances_give_no_more_than_one(
    limit: int, parts: int, steps: list[tuple[int, int, float, bool]]
) -> None:
    """A bucket of one minute's worth that fills in a minute, wherever its units are."""
    site, now, given_out = Several(limit, parts), 0.0, 0
    for place, tokens, wait, lost in steps:
        now += wait
        given_out += tokens if site.takes(place % parts, tokens, now) else 0
        site.asks(place % parts, now, lost)
        assert given_out <= limit + limit * now / 60 + 1e-6
