"""The ledger of memory."""

from collections.abc import Callable

import pytest

from appliance.errors import StateRefused
from appliance.workers.memory_budget import Budget
from appliance.workers.memory_estimate import MIB, Estimate


def needs(mib: int) -> Estimate:
    """Ten elevenths of it, so that it counts for this many."""
    return Estimate(sealed=mib * MIB * 25 // 27 + 1, weights=0, kv=0, compute=0)


def test_what_exceeds_the_budget_is_refused_with_the_numbers_and_takes_nothing() -> None:
    budget = Budget(100 * MIB)
    budget.take("a", needs(60))
    with pytest.raises(StateRefused) as caught:
        budget.take("b", needs(41))
    assert caught.value.code == "insufficient_memory"
    for number in ("b needs 41 MiB", "of 100 MiB", "60 MiB are taken"):
        assert number in caught.value.message
    assert "b" not in budget and budget.taken >> 20 == 60
    budget.take("b", needs(39))
    assert {model for model, _ in budget} == {"a", "b"}


def test_a_model_can_change_what_it_has_taken_and_give_it_back() -> None:
    budget = Budget(100 * MIB)
    budget.take("a", needs(60))
    budget.take("a", needs(90))
    with pytest.raises(StateRefused):
        budget.take("a", needs(101))
    assert budget.taken >> 20 == 90
    budget.give("a")
    budget.give("a")
    assert budget.taken == 0


def test_what_a_job_holds_is_missing_to_the_models_until_it_is_free() -> None:
    budget = Budget(1000 * MIB)
    budget.take("m", needs(400))
    budget.hold("job 1", 500 * MIB)
    assert (budget.held, budget.for_models) == (500 * MIB, 500 * MIB)
    with pytest.raises(StateRefused) as caught:
        budget.take("n", needs(200))
    assert caught.value.code == "insufficient_memory"
    with pytest.raises(StateRefused) as caught:
        budget.hold("job 2", 200 * MIB)
    assert caught.value.code == "insufficient_memory"
    assert "job 2 needs 200 MiB" in caught.value.message
    assert dict(budget).keys() == {"m"}  # a job is no model
    budget.free("job 1")
    budget.take("n", needs(200))
    assert budget.held == 0


def test_a_cache_takes_what_is_free_and_gives_way() -> None:
    budget = Budget(1000 * MIB)
    gone: list[str] = []

    def forgets(name: str) -> Callable[[], bool]:
        def forget() -> bool:
            gone.append(name)
            return True

        return forget

    budget.take("m", needs(300))
    budget.cache("a", 200 * MIB, forgets("a"))
    budget.cache("b", 200 * MIB, forgets("b"))
    budget.cache("a", 250 * MIB, forgets("a"))  # used again: now b is the older one
    assert (budget.cached, budget.of_cache("a")) == (450 * MIB, 250 * MIB)
    assert budget.for_models == 1000 * MIB and budget.taken >> 20 == 750
    budget.take("n", needs(300))
    assert gone == ["b"] and budget.of_cache("b") == 0
    budget.hold("job 1", 100 * MIB)
    assert gone == ["b"]
    budget.hold("job 2", 200 * MIB)
    assert gone == ["b", "a"] and budget.cached == 0


def test_a_cache_that_does_not_fit_is_refused_and_takes_nothing() -> None:
    budget = Budget(1000 * MIB)
    budget.take("m", needs(900))
    budget.cache("a", 50 * MIB, lambda: True)
    for name in ("a", "b"):
        with pytest.raises(StateRefused) as caught:
            budget.cache(name, 101 * MIB, lambda: True)
        assert caught.value.code == "insufficient_memory"
        assert f"{name} needs 101 MiB" in caught.value.message
        assert budget.of_cache(name) == 0
    budget.cache("c", 90 * MIB, lambda: False)  # in use: nothing gives way
    with pytest.raises(StateRefused):
        budget.take("n", needs(50))
    assert budget.of_cache("c") == 90 * MIB
    budget.drop("c")
    budget.take("n", needs(50))


def test_no_cache_is_lost_for_a_model_that_does_not_fit_anyway() -> None:
    budget = Budget(100 * MIB)
    budget.cache("a", 50 * MIB, lambda: pytest.fail("it was thrown away for nothing"))
    with pytest.raises(StateRefused):
        budget.take("m", needs(101))
    assert budget.of_cache("a") == 50 * MIB
