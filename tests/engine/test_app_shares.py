"""Shares of apps in steps: the smallest is as fast as alone, the others are not starved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.app_shares import LONG, AppShares, held, size
from appliance.engine.pace import Pace
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


def sequences(
    scope: str, count: int, *, weight: int = 1, generating: bool = True
) -> list[Sequence]:
    made = [
        Sequence(i, [1, 2, 3], Sampling(), 9, TextStream(), scope=scope, weight=weight)
        for i in range(count)
    ]
    for sequence in made:
        sequence.computed = 2 if generating else 0
    return made


def pace(fixed: float = 0.003, each: float = 0.003) -> Pace:
    made = Pace(512, 0.06)
    for tokens in (1, 2, 8, 16):
        made.record(tokens, fixed + each * tokens)
    return made


def by_app(chosen: list[Sequence]) -> dict[str, int]:
    return {a: sum(s.scope == a for s in chosen) for a in sorted({s.scope for s in chosen})}


def test_a_flood_makes_the_step_of_another_app_at_most_twice_as_long() -> None:
    running = sequences("flood", 8) + sequences("quiet", 1)
    chosen = AppShares(running, pace()).answers(running)
    assert by_app(chosen) == {"flood": 2, "quiet": 1}
    assert pace().cost(len(chosen)) <= 2.0001 * pace().cost(1)


def test_where_batching_is_free_nobody_is_held_back() -> None:
    running = sequences("flood", 8) + sequences("quiet", 1)
    assert AppShares(running, pace(0.01, 0.0001)).answers(running) == running
    assert AppShares(running, None).answers(running) == running  # nothing is known


def test_a_brief_step_has_the_fair_parts_alone_and_pays_what_is_owed() -> None:
    flood, quiet = sequences("flood", 8), sequences("quiet", 1)
    chosen = AppShares(flood + quiet, pace(), brief=True).answers(flood + quiet)
    assert by_app(chosen) == {"flood": 1, "quiet": 1}
    prompts = sequences("flood", 8, generating=False)
    assert AppShares(prompts + quiet, pace(), brief=True).limited(prompts, 1) == (set(prompts), 0)
    brief = AppShares(prompts + quiet, pace(), brief=True)
    assert brief.limited(prompts, 0)[1] > 0  # nothing else is computed
    assert brief.owed(0.5, 0.1, 0) == pytest.approx(0.4) and not brief.owed(0.1, 0.2, 0)


def test_what_others_take_beyond_a_part_of_the_protected_apps_own_time_is_owed() -> None:
    prompts, quiet = sequences("flood", 8, generating=False), sequences("quiet", 1)
    shares = AppShares(prompts + quiet, pace())
    assert not shares.owed(9.0, 0.006, 0) and not shares.owed(9.0, 0.0099, 0)
    assert shares.owed(0.0, 0.026, 0) == pytest.approx(0.02 / 0.67 - 0.006)
    assert not shares.owed(0.0, 0.026, 7)  # prompts of their own
    assert AppShares(prompts, pace()).owed(0.0, 0.03, 0) == pytest.approx(0.06)  # they may come
    assert not AppShares(prompts, None).owed(0.0, 0.03, 0)
    for stopped in (shares, AppShares(prompts, pace())):
        assert stopped.owed(0.0, 3600.0, 0) == 1  # the others are computed soon


def test_one_app_has_it_all() -> None:
    running = sequences("only", 8)
    assert AppShares(running, pace()).answers(running) == running
    assert not AppShares(running, pace()).limited(running, 8)[0]


def test_everybody_has_a_turn() -> None:
    running = sequences("flood", 7) + sequences("quiet", 1)
    counts = dict.fromkeys(running, 0)
    for step in range(1, 29):
        for sequence in AppShares(running, pace()).answers(running):
            sequence.served = step
            counts[sequence] += 1
    assert counts[running[-1]] == 28
    flood = [counts[s] for s in running[:-1]]
    assert min(flood) >= 7  # of 56 parts for seven


def test_weights_move_what_is_fair() -> None:
    running = sequences("heavy", 6, weight=3) + sequences("light", 2)
    assert AppShares(running, pace()).answers(running) == running  # 6 to 3 is 2 to 1: both fair


def test_prompts_of_a_flood_wait_for_the_answers_of_others() -> None:
    flood = sequences("flood", 8, generating=False)
    quiet = sequences("quiet", 1)
    shares = AppShares(flood + quiet, pace())
    assert shares.limited(flood + quiet, 1) == (set(flood), 8)  # all of them together
    assert shares.limited(flood, 20) == (set(flood), 8)  # they never stand still
    # Nor do they make a step with the others' prompts more than twice as long.
    assert shares.limited(flood, 1, 10) == (set(flood), 12)  # 2 (3 + 11 * 3) = 3 + 23 * 3


def test_a_prompt_leaves_half_of_a_step_to_the_answer_of_another_app_that_has_as_much() -> None:
    prompt, answer = sequences("one", 1, generating=False), sequences("two", 1)
    shares = AppShares(prompt + answer, pace())
    assert shares.limited(prompt, 1) == (set(prompt), 8)
    long = AppShares(prompt + answer, pace(0.03))
    assert long.limited(prompt, 1) == (set(prompt), 11)  # 2 (30 + 3) = 30 + 12 * 3
    assert shares.answers(answer) == answer
    own = [*prompt, *sequences("one", 1)]
    assert AppShares(own, pace()).limited(prompt, 1) == (set(), 0)  # one app: the gap alone counts


def test_a_long_prompt_counts_as_many_requests() -> None:
    (long,), quiet = sequences("long", 1, generating=False), sequences("quiet", 1)
    assert AppShares([long, *quiet], pace()).first([long, *quiet], 16) == ([], 0)  # both have one
    long.tokens = [1] * (3 * LONG)
    assert size(long) == 3
    assert AppShares([long, *quiet], pace()).first([long, *quiet], 16) == (quiet, 14)
    long.computed = 2 * LONG + 1  # what is done of it does not count
    assert size(long) == 1
    long.weight = 3
    assert held([long, *quiet]) == {"long": 1 / 3, "quiet": 1.0}


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=5),
    st.floats(0, 0.01),
    st.floats(1e-4, 0.01),
)
def test_every_app_gets_something_and_the_smallest_all(
    apps: list[tuple[int, int]], fixed: float, each: float
) -> None:
    running = [s for i, (n, w) in enumerate(apps) for s in sequences(str(i), n, weight=w)]
    chosen = by_app(AppShares(running, pace(fixed, each)).answers(running))
    least = min(n / w for n, w in apps)
    for i, (n, w) in enumerate(apps):
        assert 1 <= chosen[str(i)] <= n
        if n / w == least:
            assert chosen[str(i)] == n


def test_prompts_of_the_smallest_come_first_and_leave_some_to_the_others() -> None:
    flood, quiet = sequences("flood", 8), sequences("quiet", 1, generating=False)
    prompts = [*flood[:4], *quiet]
    assert AppShares(flood + quiet, pace()).first(prompts, 16) == (quiet, 14)
    assert AppShares(flood, pace()).first(prompts, 16) == ([], 0)  # alone
    assert AppShares(flood[:1] + quiet, pace()).first(prompts, 16) == ([], 0)  # alike
