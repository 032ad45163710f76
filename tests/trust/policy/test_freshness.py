"""The cost of time: warnings, then no imports, then no serving; a clock that is behind."""

import datetime
from collections.abc import Callable

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.policy import freshness, metadata
from appliance.trust.policy.freshness import Freshness, judge
from appliance.trust.policy.metadata import Trusted
from tests.trust.simulator import DAY, NOW, Simulator, clock_root, said

SIM = Simulator()  # the timestamp expires 30 days after NOW


def trusted(**policy: object) -> Trusted:
    sim = SIM.copy()
    sim.policy |= policy
    begun = metadata.begin(sim.roots[0], sim.fingerprint)
    return metadata.advance(begun, sim.publish(), NOW)


def us(at: datetime.datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def at(days: float, held: Trusted | None = None, recorded: datetime.datetime = NOW) -> Freshness:
    now = us(NOW + days * DAY)
    return judge(held or trusted(), us(recorded), now)


def code_of(check: Callable[[], None]) -> str:
    try:
        check()
    except PolicyRefused as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("days", "due", "change", "serve"),
    [
        (0, "expires-30d", "", ""),
        (15.9, "expires-30d", "", ""),
        (16, "expires-14d", "", ""),
        (22.9, "expires-14d", "", ""),
        (23, "expires-7d", "", ""),
        (29.9, "expires-7d", "", ""),
        (30, "expired", "trust_expired", ""),
        (30 + 334, "expired", "trust_expired", ""),
        (30 + 335, "stale-30d", "trust_expired", ""),
        (30 + 351, "stale-14d", "trust_expired", ""),
        (30 + 358, "stale-7d", "trust_expired", ""),
        (30 + 364.9, "stale-7d", "trust_expired", ""),
        (30 + 365, "stale", "trust_expired", "trust_stale"),
        (9999, "stale", "trust_expired", "trust_stale"),
    ],
)
def test_the_years_of_a_plant(days: float, due: str, change: str, serve: str) -> None:
    fresh = at(days)
    assert fresh.due() == due
    assert code_of(fresh.check_change) == change
    assert code_of(fresh.check_serve) == serve
    assert bool(fresh.alarms()) == bool(due)


def test_the_policy_says_how_long_models_are_served() -> None:
    held = trusted(stale={"refuse_serve_days": 0})
    assert code_of(at(29.9, held).check_serve) == ""
    assert code_of(at(30, held).check_serve) == "trust_stale"


@pytest.mark.parametrize("days", [-1, -400])
def test_a_clock_behind_refuses_what_is_new_and_stops_nothing(days: float) -> None:
    fresh = at(days)
    assert fresh.clock_behind
    assert code_of(fresh.check_change) == code_of(fresh.check_clock) == "clock_behind"
    assert code_of(fresh.check_serve) == ""
    assert "clock" in fresh.alarms()[0].lower()


def test_setting_the_clock_back_does_not_make_anything_fresh() -> None:
    late = NOW + 400 * DAY
    fresh = at(0, recorded=late)
    assert fresh.clock_behind and fresh.expired and fresh.stale
    assert code_of(fresh.check_serve) == "trust_stale"


def test_some_minutes_are_no_jump() -> None:
    assert not at(-4 / 24 / 60).clock_behind
    assert at(-6 / 24 / 60).clock_behind


def test_the_day_of_a_policy_is_a_floor_too() -> None:
    held = trusted(issued="2026-12-01T00:00:00Z")
    assert at(1, held).clock_behind
    assert not at(6, held).clock_behind


def test_a_root_that_resets_the_clock_is_a_floor_too() -> None:
    sim = SIM.copy()
    begun = metadata.begin(sim.roots[0], sim.fingerprint)
    clock_root(sim, said(NOW + 5 * DAY))
    held = metadata.advance(begun, sim.publish(), NOW)
    assert at(4, held).clock_behind and not at(5, held).clock_behind


def test_a_lab_does_not_age() -> None:
    fresh = judge(None, us(NOW), us(NOW + 9999 * DAY))
    assert fresh.due() == "" and fresh.alarms() == []
    fresh.check_change()
    fresh.check_serve()
    assert judge(None, us(NOW), us(NOW - DAY)).clock_behind


def test_warnings_are_those_of_the_guide() -> None:
    assert freshness.WARN_DAYS == (30, 14, 7)
