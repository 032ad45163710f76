"""Places: bounded, left once, and everyone gets their turn."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from appliance.admission.places import Place, Shares
from appliance.errors import BadRequest, Overloaded
from appliance.types import EndUser, Limits, Principal, Priority


@dataclass
class Steady:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def app(key: str = "a", **limits: object) -> Principal:
    return Principal(key, key, limits=Limits(**limits))  # type: ignore[arg-type]


def shares_of(max_queued: int = 100, per_key: int = 100) -> tuple[Shares, Steady]:
    clock = Steady()
    return Shares(max_queued, per_key, clock), clock


async def running(place: Place) -> bool:
    waiting = asyncio.create_task(place.turn())
    await asyncio.sleep(0)
    return waiting.done() and waiting.result()


async def test_turns_come_as_places_are_left() -> None:
    shares, _ = shares_of()
    one, two = (shares.admit(app(key), "m", 1) for key in "ab")
    assert await running(one)
    waiting = asyncio.create_task(two.turn())
    await asyncio.sleep(0)
    assert not waiting.done() and shares.queued("m") == 1
    one.leave(1, 1)
    assert await waiting
    two.leave(1, 1)
    two.leave(1, 1)
    assert shares.queued("m") == 0 and shares.queued("never asked for") == 0


async def test_models_have_queues_of_their_own() -> None:
    shares, _ = shares_of()
    assert await running(shares.admit(app("a"), "m", 1))
    assert await running(shares.admit(app("b"), "n", 1))


async def test_who_gives_up_waits_no_longer() -> None:
    shares, _ = shares_of()
    first = shares.admit(app("a"), "m", 1)
    assert await running(first)
    second = shares.admit(app("b"), "m", 1)
    waiting = asyncio.create_task(second.turn())
    await asyncio.sleep(0)
    second.give_up()
    assert await waiting is False
    second.leave(0, 0)
    third = shares.admit(app("c"), "m", 1)
    first.give_up()  # it runs: nothing happens
    first.leave(1, 1)
    assert await running(third)


async def test_a_task_that_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    shares, _ = shares_of()
    first, second = (shares.admit(app(key), "m", 1) for key in "ab")
    assert await running(first)
    waiting = asyncio.create_task(second.turn())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    second.leave(0, 0)
    first.leave(1, 1)
    assert await running(shares.admit(app("c"), "m", 1))


async def test_a_full_queue_refuses_with_the_time_of_the_drain_rate() -> None:
    shares, clock = shares_of(max_queued=3)
    for second in range(11):  # one answer a second
        clock.seconds = second
        place = shares.admit(app("a"), "m", 1)
        assert await running(place)
        place.leave(1, 1)
    held = [shares.admit(app(f"k{n}"), "m", 1) for n in range(3)]
    with pytest.raises(Overloaded) as caught:
        shares.admit(app("b"), "m", 1)
    assert (caught.value.code, caught.value.retry_after) == ("queue_full", 3)
    held[0].leave(0, 0)
    shares.admit(app("b"), "m", 1)


async def test_one_key_cannot_fill_the_queue() -> None:
    shares, _ = shares_of(max_queued=10, per_key=2)
    for _ in range(2):
        shares.admit(app("a"), "m", 1)
    with pytest.raises(Overloaded, match="This key has 2 requests waiting"):
        shares.admit(app("a"), "m", 1)
    shares.admit(app("b"), "m", 1)


async def test_what_runs_is_not_what_waits() -> None:
    shares, _ = shares_of(max_queued=1)
    assert await running(shares.admit(app("a"), "m", 2))
    shares.admit(app("a"), "m", 2)
    with pytest.raises(Overloaded):
        shares.admit(app("a"), "m", 2)


async def test_concurrency_holds_over_all_models_and_more_requests_wait() -> None:
    shares, _ = shares_of()
    alone = app("a", concurrency=1)
    first, second = shares.admit(alone, "m", 4), shares.admit(alone, "n", 4)
    assert await running(first)
    waiting = asyncio.create_task(second.turn())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await running(shares.admit(app("b"), "n", 4))  # it holds up nobody else
    first.leave(1, 1)
    assert await waiting


async def test_quotas_are_taken_and_settled_once() -> None:
    shares, _ = shares_of()
    limited = app("a", rpm=3, tpm=100)
    place = shares.admit(limited, "m", 1)
    place.reserve(40, 40)
    place.leave(40, 10)
    place.leave(0, 0)  # would give everything back
    other = shares.admit(limited, "m", 1)
    with pytest.raises(Overloaded):
        other.reserve(41, 10)
    other.reserve(40, 10)
    other.leave(0, 0)
    third = shares.admit(limited, "m", 1)
    with pytest.raises(BadRequest):
        third.reserve(101, 0)
    third.leave(0, 0)
    with pytest.raises(Overloaded) as caught:
        shares.admit(limited, "m", 1)
    assert caught.value.retry_after == 20
    assert not shares._queues["m", False].held


ANN = EndUser("ann", "oidc:corp", "p-1")


def asking(key: str, person: EndUser | None, few: Limits, **limits: object) -> Principal:
    return replace(app(key, **limits), person=person, person_limits=few)


def left(shares: Shares, principal: Principal) -> list[int]:
    return [one.left for one in shares.left(principal) if one is not None]


async def test_a_persons_requests_count_over_all_keys() -> None:
    shares, steady = shares_of()
    few = Limits(rpm=3)
    for key in ("a", "b", "a"):
        shares.admit(asking(key, ANN, few, rpm=10), "m", 9)
    with pytest.raises(Overloaded, match="The person has 3 requests per minute"):
        shares.admit(asking("a", ANN, few, rpm=10), "m", 9)
    assert left(shares, app("a", rpm=10)) == [8]  # what was refused counts for nobody
    for other in (replace(ANN, subject="bea"), replace(ANN, source="claim"), None):
        shares.admit(asking("a", other, few), "m", 9)
    steady.seconds += 20
    shares.admit(asking("c", ANN, few), "m", 9)


async def test_a_persons_tokens_are_set_aside_with_the_keys_or_not_at_all() -> None:
    shares, _ = shares_of()
    few = Limits(tpm=600)
    place = shares.admit(asking("a", ANN, few, tpm=1_000), "m", 9)
    place.reserve(400, 100)
    with pytest.raises(Overloaded, match="The person has 600 tokens per minute"):
        shares.admit(asking("b", ANN, few, tpm=1_000), "m", 9).reserve(200, 0)
    assert left(shares, app("b", tpm=1_000)) == [1_000]
    with pytest.raises(BadRequest, match="the person has 600 per minute"):
        shares.admit(asking("b", ANN, few, tpm=1_000), "m", 9).reserve(601, 0)
    place.leave(100, 0)
    shares.admit(asking("b", ANN, few, tpm=1_000), "m", 9).reserve(400, 100)
    assert left(shares, app("a", tpm=1_000)) == [900]


async def test_a_request_may_be_of_another_priority_than_its_key() -> None:
    shares, clock = shares_of()
    live, batch = app("a"), app("b", priority=Priority.BATCH)
    first = shares.admit(live, "m", 1)
    assert await running(first)
    order: list[str] = []

    async def wait(place: Place, name: str) -> None:
        assert await place.turn()
        order.append(name)
        clock.seconds += 1
        place.leave(1, 1)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(4):
            slow, quick = shares.admit(batch, "m", 1), shares.admit(live, "m", 1)
            for place in (slow, quick):
                place.reserve(10, 10)
            group.create_task(wait(slow, f"batch {number}"))
            group.create_task(wait(quick, f"live {number}"))
        urgent = shares.admit(batch, "m", 1, Priority.INTERACTIVE)
        urgent.reserve(10, 10)
        group.create_task(wait(urgent, "urgent"))
        await asyncio.sleep(0)
        first.leave(1, 1)
    assert order.index("urgent") < order.index("batch 1")
    assert order.index("live 3") < order.index("batch 1")


async def test_batch_work_that_is_set_aside_takes_no_slot_from_others() -> None:
    shares, _ = shares_of(max_queued=2, per_key=2)
    night, desk = app("night", priority=Priority.BATCH), app("desk")
    for who in (night, desk):  # a slot, and two ahead of it, as of one key alone
        ran = [await running(shares.admit(who, "m", 1, sets_aside=True)) for _ in range(4)]
        assert ran == [True, True, True, False]
    assert shares.queued("m") == 2
    shares.admit(night, "m", 1, sets_aside=True)
    with pytest.raises(Overloaded):
        shares.admit(night, "m", 1, sets_aside=True)
    shares.admit(desk, "m", 1, sets_aside=True)  # each kind has its own bound
    # Control: an engine that sets nothing aside has its slots for all.
    ran = [await running(shares.admit(night, "elsewhere", 1)) for _ in range(3)]
    assert ran == [True, True, True] and not await running(shares.admit(desk, "elsewhere", 1))


async def test_a_keys_batch_work_takes_nothing_of_its_concurrency() -> None:
    shares, _ = shares_of()
    line = app("a", concurrency=1, priority=Priority.BATCH)
    assert await running(shares.admit(line, "m", 4, sets_aside=True))
    asked = shares.admit(app("a", concurrency=1), "m", 4, sets_aside=True)
    assert await running(asked)
    more = asyncio.create_task(shares.admit(line, "m", 4, sets_aside=True).turn())
    await asyncio.sleep(0)
    assert not more.done()  # with what a person asked, it is one too many
    more.cancel()


async def test_keys_share_batch_slots_by_turns() -> None:
    shares, _ = shares_of()
    order: list[str] = []

    async def wait(place: Place, name: str) -> None:
        assert await place.turn()
        order.append(name)
        place.leave(10, 10)

    names = [name for name in "ab" for _ in range(4)]  # all of one key's came first
    places = [
        shares.admit(app(name, priority=Priority.BATCH), "m", 1, sets_aside=True) for name in names
    ]
    first = shares.admit(app("c", priority=Priority.BATCH), "m", 1, sets_aside=True)
    assert await running(first)
    for place in places:
        place.reserve(10, 10)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for place, name in zip(places, names, strict=True):
            group.create_task(wait(place, name))
        await asyncio.sleep(0)
        first.leave(1, 1)
    assert order == list("abababab")
