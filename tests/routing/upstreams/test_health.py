"""The health of a host: opening, tripping, and neither."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.routing.upstreams.health import (
    AGREEING,
    FAILURES,
    SUSPECT_S,
    HostHealth,
    HostProbe,
    Intervals,
    ProbeVerdict,
)

TIMES = Intervals(probe=30, quiet=300, idle=30)
SAME, GONE = HostProbe(ProbeVerdict.SAME), HostProbe(ProbeVerdict.GONE, "refused")
SLOW, FAILED = HostProbe(ProbeVerdict.SLOW, "slow"), HostProbe(ProbeVerdict.FAILED, "invalid")
OTHER = HostProbe(ProbeVerdict.OTHER, "0.1 away", distances=(100_000,) * 16, tolerance=20_000)
EXACT = HostProbe(ProbeVerdict.OTHER, "other ids", exact=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


# Functions, because a type checker believes that what was seen of a property stays so.
def state(health: HostHealth) -> str:
    return health.state


def reach(health: HostHealth) -> str:
    return health.reach


def usable(health: HostHealth) -> bool:
    return health.usable


def due(health: HostHealth) -> bool:
    return health.due


def seeks(health: HostHealth) -> bool:
    return health.wants_quiet


def made() -> tuple[HostHealth, Clock]:
    clock = Clock()
    health = HostHealth(TIMES, clock)
    assert state(health) == "unreachable" and health.due and not usable(health)
    look(health, SAME)
    assert state(health) == "ready" and usable(health)
    return health, clock


def look(health: HostHealth, found: HostProbe, *, last: bool = False, quiet: bool = False) -> None:
    """One probe beside running requests; `quiet`: they end before it."""
    health.probe()
    assert not due(health)
    if quiet:
        health.hold()
        while health.running:
            health.end()
    health.asking()
    health.probed(found, last=last)
    health.release()


def test_a_host_that_is_gone_is_out_at_once_the_last_one_too() -> None:
    for last in (False, True):
        health, clock = made()
        health.failed("refused", gone=True, last=last)
        assert reach(health) == "open" and not due(health)
        clock.now += 0.25
        assert due(health)
        health, _ = made()
        look(health, GONE, last=last)
        assert reach(health) == "open"


def test_failures_of_one_moment_are_one() -> None:
    health, clock = made()
    for _ in range(99):
        health.failed("connects took too long", gone=False, last=False)
    assert usable(health)
    for _ in range(FAILURES - 1):
        clock.now += 1
        assert usable(health)
        health.failed("connects took too long", gone=False, last=False)
    assert not usable(health)


def test_an_answer_begins_the_count_anew() -> None:
    health, clock = made()
    for _ in range(20):
        clock.now += 1
        health.failed("slow", gone=False, last=False)
        health.answered()
    assert usable(health) and not health.problem


def test_the_last_host_stays_though_it_is_slow() -> None:
    health, clock = made()
    for _ in range(20):
        clock.now += 60
        health.failed("slow", gone=False, last=True)
        look(health, SLOW, last=True)
        look(health, FAILED, last=True)
    assert usable(health) and health.problem
    clock.now += 60
    look(health, SLOW)  # another one is there now
    assert not usable(health)


def test_a_slow_probe_beside_running_answers_is_busy() -> None:
    health, clock = made()
    clock.now += 1_000
    health.begin()
    look(health, SLOW)
    assert state(health) == "busy" and usable(health)
    health.end()
    look(health, SAME)
    assert state(health) == "ready"
    look(health, SLOW)  # the control: nothing runs there, and nothing was heard
    assert state(health) == "unreachable"


@pytest.mark.parametrize("found", [SLOW, FAILED])
def test_no_probe_takes_out_a_host_that_answered_lately(found: HostProbe) -> None:
    health, clock = made()
    clock.now += 1_000
    health.heard()
    clock.now += TIMES.idle - 1
    look(health, found)
    assert usable(health) and state(health) == "busy"
    clock.now += 2
    look(health, found)
    assert not usable(health)


def test_probes_that_fail_are_made_less_often() -> None:
    health, clock = made()
    health.failed("refused", gone=True, last=False)
    waits = []
    for _ in range(10):
        begun = clock.now
        while not due(health):
            clock.now += 0.25
        waits.append(clock.now - begun)
        look(health, GONE)
    assert waits[:4] == [0.25, 0.25, 0.5, 1.0] and waits[-1] == 15.0
    health.answered()  # an answer that was under way closes nothing
    assert not usable(health)
    look(health, SAME)
    assert usable(health)


def test_one_difference_makes_it_suspect_a_second_trips_it() -> None:
    health, _ = made()
    look(health, OTHER)
    assert state(health) == "suspect" and usable(health) and seeks(health)
    look(health, OTHER)
    assert state(health) == "tripped" and not usable(health) and not due(health)
    look(health, SAME)  # a person asked
    assert state(health) == "ready" and usable(health)


def test_quiet_probes_that_agree_take_it_back() -> None:
    health, _ = made()
    look(health, OTHER)
    health.begin()
    for _ in range(AGREEING):
        look(health, SAME)  # not quiet
    assert state(health) == "suspect"
    for _ in range(AGREEING):
        assert state(health) == "suspect"
        look(health, SAME, quiet=True)
    assert state(health) == "ready"


def test_a_host_that_alternates_trips() -> None:
    health, _ = made()
    for found in (OTHER, SAME, OTHER):
        look(health, found)
    assert state(health) == "tripped"


def test_it_is_asked_for_ten_minutes_while_it_is_suspect() -> None:
    health, clock = made()
    look(health, OTHER)
    health.begin()
    clock.now += SUSPECT_S - 1
    look(health, OTHER)
    assert usable(health)
    clock.now += 1
    assert not usable(health) and state(health) == "suspect"
    clock.now += TIMES.probe
    assert due(health)
    look(health, SAME, quiet=True)
    look(health, SAME, quiet=True)
    assert usable(health)


def test_no_difference_beside_requests_trips() -> None:
    health, clock = made()
    health.begin()
    for _ in range(1_000):
        clock.now += 30
        look(health, OTHER)
        assert not health.tripped
    assert seeks(health) and usable(health)
    look(health, EXACT)  # ids do not depend on company
    look(health, EXACT)
    assert health.tripped


def test_differences_beside_requests_call_for_a_quiet_moment() -> None:
    health, clock = made()
    health.begin()
    clock.now += 30
    look(health, OTHER)
    assert seeks(health) and state(health) == "ready"
    look(health, SAME, quiet=True)
    assert not seeks(health)
    health.begin()
    look(health, OTHER)  # as far away as what was cleared
    assert not seeks(health)


def test_without_a_quiet_moment_it_is_suspect() -> None:
    health, _ = made()
    health.begin()
    look(health, OTHER)
    health.hold()
    look(health, OTHER)
    assert state(health) == "suspect" and usable(health)


def test_a_quiet_moment_is_sought_after_five_minutes_and_not_at_each_probe() -> None:
    health, clock = made()
    health.begin()
    clock.now += TIMES.quiet - 1
    assert not seeks(health)
    clock.now += 1
    assert seeks(health)
    health.hold()
    look(health, SLOW)
    assert not seeks(health)


def test_a_host_that_was_not_asked_yet_is_not_asked_because_it_is_suspect() -> None:
    health = HostHealth(TIMES, Clock())
    look(health, OTHER)
    assert state(health) == "suspect" and not usable(health)
    look(health, OTHER)
    assert state(health) == "tripped"


def test_a_host_that_agreed_shortly_before_a_restart_is_asked_at_once() -> None:
    health = HostHealth(TIMES, Clock())
    health.restore()
    assert usable(health) and not due(health)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.health = HostHealth(TIMES, self.clock)
        self.quiet_differences = 0
        self.probing = False

    @rule(seconds=st.sampled_from([0.1, 1.0, 29.0, 30.0, 300.0, 600.0]))
    def time(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.health.usable and not self.health.held)
    @rule()
    def begin(self) -> None:
        self.health.begin()

    @precondition(lambda self: self.health.running)
    @rule(how=st.sampled_from(["whole", "piece", "nothing"]))
    def end(self, how: str) -> None:
        if how == "whole":
            self.health.answered()
        elif how == "piece":
            self.health.heard()
        self.health.end()

    @rule(gone=st.booleans(), last=st.booleans())
    def fail(self, *, gone: bool, last: bool) -> None:
        before = self.health.usable
        self.health.failed("failed", gone=gone, last=last)
        assert self.health.usable is before or (before and (gone or not last))

    @precondition(lambda self: not self.probing)
    @rule(hold=st.booleans())
    def probe(self, *, hold: bool) -> None:
        self.health.probe()
        if hold:
            self.health.hold()
        self.health.asking()
        self.probing = True

    @precondition(lambda self: self.probing)
    @rule(found=st.sampled_from([SAME, OTHER, EXACT, SLOW, FAILED, GONE]), last=st.booleans())
    def probed(self, found: HostProbe, *, last: bool) -> None:
        health = self.health
        before, company = (health.usable, health.suspect, health.tripped), health.company
        heard = self.clock.now - health._heard < TIMES.idle
        health.probed(found, last=last)
        health.release()
        self.probing = False
        if found.verdict in (ProbeVerdict.SLOW, ProbeVerdict.FAILED):
            kept = last or heard or (found is SLOW and company)
            assert health.usable is before[0] or (before[0] and not kept)
        if health.tripped and not before[2]:
            assert (
                found.verdict is ProbeVerdict.OTHER and before[1] and (found.exact or not company)
            )
        if found is GONE:
            assert not health.usable
        if health.usable and not before[0]:
            assert found is SAME

    @invariant()
    def holds(self) -> None:
        health = self.health
        assert not health.usable or (health.reach == "closed" and not health.tripped)
        assert (health.state == "tripped") == bool(health.tripped)
        assert not health.held or self.probing
        assert not (health.tripped and health.suspect)


TestMachine: Any = Machine.TestCase
