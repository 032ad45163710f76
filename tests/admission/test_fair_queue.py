"""Fair queueing: shares by weight, no starvation, and a flood that does not delay a single app."""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.admission.fair_queue import AHEAD, FairQueue, Ticket, token_cost
from appliance.types import Priority

BATCH = Priority.BATCH


def always(_key: str) -> bool:
    return True


def queue_of(slots: int, *tickets: Ticket) -> FairQueue:
    queue = FairQueue(slots)
    for ticket in tickets:
        queue.put(ticket)
    return queue


def served(queue: FairQueue, rounds: int) -> list[str]:
    order = []
    for _ in range(rounds):
        ticket = queue.take(always)
        assert ticket is not None
        order.append(ticket.key)
        queue.end(ticket, ticket.cost, 0.0)
    return order


def many(key: str, number: int, **options: object) -> list[Ticket]:
    return [Ticket(key, **options) for _ in range(number)]  # type: ignore[arg-type]


def test_order_within_a_key_is_the_order_of_arrival() -> None:
    tickets = many("a", 5)
    queue = queue_of(8, *tickets)
    assert [queue.take(always) for _ in range(5)] == tickets


def test_two_backlogs_alternate_whatever_was_first() -> None:
    order = served(queue_of(1, *many("a", 50), *many("b", 10)), 20)
    assert Counter(order) == {"a": 10, "b": 10}


@pytest.mark.parametrize(("weight", "share"), [(1, 20), (3, 30)])
def test_a_share_is_in_proportion_to_the_weight(weight: int, share: int) -> None:
    order = served(queue_of(1, *many("a", 90, weight=weight), *many("b", 90)), 40)
    assert order.count("a") == share


def test_a_share_is_of_tokens_and_not_of_requests() -> None:
    order = served(queue_of(1, *many("big", 90, cost=900), *many("small", 90, cost=100)), 50)
    assert order.count("big") == 5


def test_batch_gives_way_and_never_starves() -> None:
    queue = queue_of(1, *many("batch", 90, priority=BATCH), *many("live", 90))
    order = served(queue, 68)
    assert order.count("batch") == 4
    assert served(queue_of(1, *many("batch", 3, priority=BATCH)), 3) == ["batch"] * 3


def test_the_two_priorities_of_one_key_are_two_flows() -> None:
    late = Ticket("a")
    queue = queue_of(1, *many("a", 30, priority=BATCH), late)
    first, second = queue.take(always), None
    assert first is not None
    queue.end(first, 1, 0.0)
    second = queue.take(always)
    assert late in (first, second)


def test_a_newcomer_stands_before_the_backlog() -> None:
    queue = queue_of(1, *many("a", 50))
    served(queue, 20)
    queue.put(Ticket("b"))
    assert "b" in served(queue, 2)


def test_silence_earns_no_credit() -> None:
    queue = queue_of(1, *many("a", 200), Ticket("b"))
    served(queue, 100)
    for ticket in many("b", 100):
        queue.put(ticket)
    assert served(queue, 40).count("b") == 20


def test_what_was_estimated_too_high_is_given_back() -> None:
    def share(actual: int) -> int:
        queue = queue_of(1, *many("a", 200, cost=1000), *many("b", 200, cost=100))
        order = []
        for _ in range(100):
            ticket = queue.take(always)
            assert ticket is not None
            order.append(ticket.key)
            queue.end(ticket, actual if ticket.key == "a" else 100, 0.0)
        return order.count("a")

    assert share(100) == 50
    assert share(1000) == pytest.approx(9, abs=1)  # the control: it did cost that much


def test_a_written_token_counts_twice() -> None:
    assert token_cost(10, 5) == 20


@pytest.mark.parametrize(("keys", "taken"), [("a", 4 + AHEAD), ("ab", 4)])
def test_one_app_alone_runs_ahead_of_the_slots(keys: str, taken: int) -> None:
    queue = queue_of(4, *[ticket for key in keys for ticket in many(key, 9)])
    while queue.take(always):
        pass
    assert queue.running.total() == taken


def test_the_only_request_of_an_app_does_not_wait_for_a_slot() -> None:
    queue = queue_of(4, *many("a", 9))
    while queue.take(always):
        pass
    first, second = many("b", 2)
    queue.put(Ticket("c", priority=BATCH))
    queue.put(first)
    assert queue.take(always) is first
    queue.put(second)
    assert queue.take(always) is None  # the controls: its second request waits, and batch does


def test_more_apps_than_slots_wait_for_each_other() -> None:
    keys = "abcdefgh"
    queue = queue_of(4, *(ticket for key in keys for ticket in many(key, 3)))
    while queue.take(always):
        pass
    assert queue.running.total() == 4
    queue.put(Ticket("z"))
    assert queue.take(always) is None


def test_a_request_for_several_answers_waits_for_as_many_slots_and_nobody_overtakes_it() -> None:
    wide, late = Ticket("a", slots=2), Ticket("b")
    first = [Ticket("a"), Ticket("b")]
    queue = queue_of(3, *first)
    assert {queue.take(always), queue.take(always)} == set(first)
    for ticket in (wide, late):
        queue.put(ticket)
    assert queue.take(always) is None
    queue.end(first[0], 1, 0.0)
    assert queue.take(always) is wide
    assert queue.take(always) is None
    huge = Ticket("a", slots=99, priority=BATCH)  # more than there are: it runs alone
    assert queue_of(4, huge).take(always) is huge


def test_who_may_not_run_now_does_not_hold_up_others() -> None:
    queue = queue_of(4, *many("a", 3), *many("b", 3))
    taken = queue.take(lambda key: key != "a")
    assert taken is not None and taken.key == "b"
    assert queue.take(lambda _: False) is None


def test_a_request_that_leaves_while_it_waits_is_forgotten() -> None:
    tickets = many("a", 3)
    queue = queue_of(1, *tickets)
    queue.remove(tickets[0])
    assert queue.waiting == {"a": 2}
    assert queue.take(always) is tickets[1]


def test_the_time_to_come_back_follows_the_drain_rate() -> None:
    queue = FairQueue(1)
    assert queue.retry_after(100, 0.0) == 5  # nothing is known yet
    for second in range(0, 20, 2):
        queue.put(Ticket("a"))
        ticket = queue.take(always)
        assert ticket is not None
        queue.end(ticket, 1, second)
    assert queue.retry_after(10, 18.0) == 18  # ten ends in 18 seconds
    assert queue.retry_after(1, 18.0) == 2
    assert queue.retry_after(0, 18.0) == 1
    assert queue.retry_after(10_000, 18.0) == 60
    assert queue.retry_after(10, 40.0) == 40  # it stands still, so the rate falls


@dataclass
class Simulated:
    """A model whose every running request takes `seconds`, and the apps that load it."""

    slots: int
    seconds: float

    def latencies(
        self,
        put: Callable[[Ticket, float], None],
        take: Callable[[float], Ticket | None],
        end: Callable[[Ticket, float], None],
    ) -> list[float]:
        """App A floods with 64 and sends a new one for each that ends; B sends one at a time."""
        ends: list[tuple[float, int, Ticket]] = []
        number, now = count(), 0.0
        found: list[float] = []
        for ticket in many("a", 64):
            put(ticket, now)
        since = now
        put(Ticket("b"), now)
        while len(found) < 40:
            while (ticket := take(now)) is not None:  # type: ignore[assignment]
                heapq.heappush(ends, (now + self.seconds, next(number), ticket))
            now, _, ticket = heapq.heappop(ends)
            end(ticket, now)
            if ticket.key == "b":
                found.append(now - since)
                since = now
            put(Ticket(ticket.key), now)
        return found


def test_a_flood_does_not_delay_the_app_that_sends_one_at_a_time() -> None:
    queue = FairQueue(8)
    fair = Simulated(8, 1.0).latencies(
        lambda ticket, _: queue.put(ticket),
        lambda _: queue.take(always),
        lambda ticket, now: queue.end(ticket, 1, now),
    )
    assert sorted(fair)[int(len(fair) * 0.95)] <= 1.0 + 1e-9  # it never waits for a slot

    # The control: in order of arrival B waits for the whole flood, each time.
    waiting: deque[Ticket] = deque()
    running: set[Ticket] = set()

    def take(_now: float) -> Ticket | None:
        if not waiting or len(running) == 8:
            return None
        running.add(waiting[0])
        return waiting.popleft()

    fifo = Simulated(8, 1.0).latencies(
        lambda t, _: waiting.append(t), take, lambda t, _: running.discard(t)
    )
    assert sorted(fifo)[int(len(fifo) * 0.95)] > 5.0


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "end", "remove"]),
        st.sampled_from("abc"),
        st.integers(1, 50),
        st.sampled_from(Priority),
        st.integers(0, 20),
    ),
    max_size=120,
)


@settings(max_examples=150)
@given(ACTIONS, st.integers(1, 5))
def test_nothing_is_lost_or_taken_twice(
    actions: list[tuple[str, str, int, Priority, int]], slots: int
) -> None:
    queue, now = FairQueue(slots), 0.0
    waiting: list[Ticket] = []
    running: list[Ticket] = []
    for action, key, cost, priority, wait in actions:
        now += wait
        if action == "put":
            waiting.append(Ticket(key, cost % 4 + 1, priority, cost))
            queue.put(waiting[-1])
        elif action == "take" and (ticket := queue.take(always)) is not None:
            waiting.remove(ticket)
            running.append(ticket)
        elif action == "end" and running:
            queue.end(running.pop(cost % len(running)), cost, now)
        elif action == "remove" and waiting:
            queue.remove(waiting.pop(cost % len(waiting)))
        assert queue.running == Counter(t.key for t in running)
        assert queue.waiting == Counter(t.key for t in waiting)
        assert len(running) <= 2 * slots + AHEAD
    while running or waiting:  # everything that waits gets its turn
        while (ticket := queue.take(always)) is not None:
            waiting.remove(ticket)
            running.append(ticket)
        assert running
        queue.end(running.pop(), 1, now)
        now += 1


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 8), min_size=2),
    st.lists(st.integers(1, 40), min_size=4, max_size=4),
    st.integers(1, 4),
)
def test_backlogged_keys_get_their_shares_within_one_request(
    weights: dict[str, int], costs: list[int], slots: int
) -> None:
    """SFQ's bound: |W_a/w_a - W_b/w_b| <= (D+1) (c_a/w_a + c_b/w_b), here with D slots."""
    cost = dict(zip("abcd", costs, strict=True))
    queue, work = FairQueue(slots), dict.fromkeys(weights, 0.0)
    for key, weight in weights.items():
        for _ in range(2):
            queue.put(Ticket(key, weight, cost=cost[key]))
    running: deque[Ticket] = deque()
    for _ in range(400):
        while (ticket := queue.take(always)) is not None:
            running.append(ticket)
            work[ticket.key] += ticket.cost / ticket.weight
            queue.put(Ticket(ticket.key, ticket.weight, cost=ticket.cost))
        ended = running.popleft()
        queue.end(ended, ended.cost, 0.0)
    for one in weights:
        for other in weights:
            bound = (slots + 1) * (cost[one] / weights[one] + cost[other] / weights[other])
            assert abs(work[one] - work[other]) <= bound + 1e-6
