"""The sequential test beside requests: quiet about what was cleared, quick about what was not."""

import random

from appliance.routing.upstreams.sequential_comparison import Company

PROMPTS, TOLERANCE = 16, 20_000


def noise(rng: random.Random) -> list[int]:
    """Company's effect on log-probabilities of a real engine: 0.07 to 0.19."""
    return [rng.randint(70_000, 190_000) for _ in range(PROMPTS)]


def shifted(rng: random.Random) -> list[int]:
    """With a perturbed layer: 0.07 to 0.14 more."""
    return [one + rng.randint(70_000, 140_000) for one in noise(rng)]


def learnt(rng: random.Random, rounds: int = 8) -> Company:
    company = Company()
    for _ in range(rounds):
        company.observe(noise(rng), TOLERANCE)
    company.clear()
    return company


def test_nothing_below_the_tolerance_calls() -> None:
    company = Company()
    for _ in range(1_000):
        company.observe([TOLERANCE] * PROMPTS, TOLERANCE)
    assert not company.calls


def test_the_first_differences_call_for_a_quiet_moment_that_clears_them() -> None:
    company, rng = Company(), random.Random(1)
    company.observe(noise(rng), TOLERANCE)
    assert company.calls
    company.clear()
    assert not company.calls


def test_noise_that_was_cleared_calls_seldom() -> None:
    """Twenty hosts, five hours each, a probe each 30 seconds: one needless quiet moment a day."""
    calls = 0
    for seed in range(20):
        rng = random.Random(seed)
        company = learnt(rng)
        for number in range(600):
            company.observe(noise(rng), TOLERANCE)
            calls += company.calls
            if company.calls or number % 10 == 9:
                company.clear()
    assert calls <= 4


def test_other_weights_call_within_three_probes() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        company = learnt(rng)
        for _ in range(10):
            company.observe(noise(rng), TOLERANCE)
        tries = 0
        while not company.calls:
            company.observe(shifted(rng), TOLERANCE)
            tries += 1
        assert tries <= 3


def test_other_weights_call_without_noise() -> None:
    for prompts, most in ((16, 1), (4, 4)):
        company, tries = Company(), 0
        while not company.calls:
            company.observe([70_000] * prompts, TOLERANCE)
            tries += 1
        assert tries <= most
