"""Requests and tokens per minute."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admission import quotas as module
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
        self.ask_at_once([place], now, lost)

    def ask_at_once(self, places: Sequence[int], now: float, lost: bool = False) -> None:
        """The same, their questions crossing."""
        asked = [(place, dict.fromkeys(self.places[place].lacking(), 0)) for place in places]
        for place, found in asked:
            for other, quotas in enumerate(self.places):
                if other != place:
                    left = [QuotaUnits(w.account, w.tokens, w.units - found[w]) for w in found]
                    limits, before = {"k": self.limits[other]}.get, place < other
                    lent = quotas.lend(left, limits, now, before=before)
                    for wanted, units in zip(list(found), lent, strict=True):
                        found[wanted] += 0 if lost else units
        for place, found in asked:
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


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize("later_s", [0, 1])
@pytest.mark.parametrize(
    "wanted", [(90, 90), (60, 60), (50, 5), (90, 110), (61, 5), (100, 100, 100)]
)
def test_where_several_lack_each_passes_before_long(
    wanted: tuple[int, ...], later_s: int, crossing: bool
) -> None:
    """Each has an app that comes again when it was told to; of requests of one size, and of those
    that a part holds, none waits for long.
    """
    several = range(len(wanted))
    site, passed, due = (
        Several(120, len(wanted)),
        [0 for _ in several],
        [n * later_s for n in several],
    )
    for second in range(1_200):
        for place in several:
            if second >= due[place]:
                try:
                    site.places[place].reserve("k", site.limits[place], wanted[place], second)
                except Overloaded as refusal:
                    due[place] = second + (refusal.retry_after or 0)
                else:
                    passed[place] += 1
                    due[place] = second + 2
        for places in [list(several)] if crossing else [[place] for place in several]:
            site.ask_at_once(places, second)
    assert sum(n * size for n, size in zip(passed, wanted, strict=True)) > 120 * 20 / 2
    assert min(passed) >= (1 if wanted == (90, 110) else 5), passed


def people(first: int, count: int) -> list[QuotaUnits]:
    return [QuotaUnits(f"person|x|{number}", True, 1) for number in range(first, first + count)]


def test_names_without_end_make_a_bounded_number_of_buckets() -> None:
    quotas, limits = Quotas(), part(Limits(tpm=300), 0, 3)

    def lent(wanted: list[QuotaUnits], now: float) -> int:
        return sum(quotas.lend(wanted, lambda _: limits, now, before=True))

    quotas.reserve("k", limits, 10, 0.0)
    given = sum(lent(people(first, 1_000), 0.0) for first in range(0, 100_000, 1_000))
    assert given == module._MOST - 1 and len(quotas._buckets) == module._MOST
    assert lent([QuotaUnits("k", True, 5)], 0.0) == 5
    quotas.reserve("person|x|100000", limits, 10, 0.0)  # one that asks here
    assert lent(people(200_000, 10), 59.0) == 0
    assert lent(people(200_000, 10), 60.0) == 10 and len(quotas._buckets) == 10
    assert lent([QuotaUnits("a" * 10_000, True, 5)], 60.0) == 0


def test_people_who_asked_a_minute_ago_have_no_bucket() -> None:
    quotas, limits, most = Quotas(), Limits(rpm=3, tpm=300), 0
    for number in range(100_000):
        now = number / 100  # 6,000 a minute
        quotas.admit(f"person|x|{number}", limits, now)
        quotas.reserve(f"person|x|{number}", limits, 300, now)
        quotas.settle(f"person|x|{number}", limits, 300, 10, now)
        most = max(most, len(quotas._buckets))
    assert most <= 2 * 2 * 6_000 + 2


def test_a_debt_is_remembered_and_an_answer_may_end_after_its_bucket() -> None:
    quotas, limits = Quotas(), Limits(tpm=600)
    quotas.reserve("k", limits, 600, 0.0)
    quotas.settle("k", limits, 600, 6_000, 0.0)
    quotas.reserve("late", limits, 600, 0.0)
    quotas.reserve("another", limits, 1, 300.0)
    assert refused(quotas, limits, 300.0, tokens=1) == 241
    assert ("late", True) not in quotas._buckets
    quotas.settle("late", limits, 600, 1_800, 300.0)
    assert [left and left.left for left in quotas.left("late", limits, 300.0)] == [None, 0]


def test_units_for_a_bucket_that_was_forgotten_are_lost() -> None:
    site = Several(120, 2)
    assert not site.takes(0, 90, 0.0)
    (wanted,) = site.places[0].lacking()
    site.places[0].reserve("another", Limits(tpm=1), 1, 60.0)
    site.places[0].borrowed({wanted: 30}, 60.0)
    assert site.takes(0, 60, 60.0) and not site.takes(0, 1, 60.0)


class Remembering(Quotas):
    """The control: buckets stay."""

    def _forget(self, now: float) -> None:
        pass


@given(
    st.integers(1, 200),
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.floats(0, 100), st.integers(1, 200), st.integers(0, 400)
        ),
        max_size=40,
    ),
)
def test_forgetting_changes_no_decision(tpm: int, steps: list[tuple[str, float, int, int]]) -> None:
    limits, now = Limits(tpm=tpm), 0.0
    several: list[Quotas] = [Quotas(), Remembering()]
    for name, wait, tokens, used in steps:
        now += wait
        told = []
        for one in several:
            try:
                one.reserve(name, limits, tokens, now)
            except (Overloaded, BadRequest) as error:
                told.append(str(error))
            else:
                told.append("")
                one.settle(name, limits, tokens, used, now)
        assert told[0] == told[1]


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
