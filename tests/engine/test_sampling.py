"""From logits to a token: cutoffs, frequencies, and a random stream of its own for each request."""

import math
from collections import Counter
from collections.abc import Sequence as ReadOnly
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.engine.sampling import Sampler, distribution, largest, pick, uniform
from appliance.types import Sampling

LOGITS = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -2.0, 1.5, 0.2], np.float32)
rows = st.lists(st.integers(-3000, 3000), min_size=2, max_size=40, unique=True).map(
    lambda values: (np.array(values) / 100).astype(np.float32)
)


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """The textbook distribution, written another way than the code under test."""
    weights = [math.exp(float(v) / temperature) for v in logits]
    return np.array([w / sum(weights) for w in weights])


def chi_square(counts: Counter[int], expected: NDArray[np.float64], draws: int) -> float:
    """Pearson's statistic; tokens without expected mass must not occur."""
    total = 0.0
    for token, share in enumerate(expected):
        if share == 0:
            assert counts[token] == 0
        else:
            total += (counts[token] - share * draws) ** 2 / (share * draws)
    return total


def drawn(sampling: Sampling, draws: int) -> Counter[int]:
    return Counter(picked(LOGITS, replace(sampling, seed=seed), 0) for seed in range(draws))


def picked(logits: NDArray[np.float32], sampling: Sampling, step: int) -> int:
    token = pick(logits, sampling, step)
    assert token is not None
    return token


def expected_after_cutoffs(sampling: Sampling) -> NDArray[np.float64]:
    shares = softmax(LOGITS, sampling.temperature)
    order = sorted(range(len(shares)), key=lambda t: -shares[t])
    if sampling.top_k:
        order = order[: sampling.top_k]
    mass = sum(shares[t] for t in order)
    scaled = {t: shares[t] / mass for t in order}
    kept, total = [], 0.0
    for token in order:
        kept.append(token)
        total += scaled[token]
        if total >= sampling.top_p:
            break
    kept = [t for t in kept if scaled[t] >= sampling.min_p * scaled[order[0]]]
    rest = sum(scaled[t] for t in kept)
    return np.array([scaled[t] / rest if t in kept else 0.0 for t in range(len(shares))])


CASES = [
    Sampling(temperature=1.0),
    Sampling(temperature=0.4),
    Sampling(temperature=2.0),
    Sampling(temperature=1.0, top_k=3),
    Sampling(temperature=1.0, top_p=0.7),
    Sampling(temperature=1.0, min_p=0.3),
    Sampling(temperature=1.3, top_k=6, top_p=0.9, min_p=0.1),
]
# 99.9 % quantile of chi-square with 7 degrees of freedom, the most that eight tokens give.
LIMIT = 24.32
DRAWS = 4000


@pytest.mark.parametrize("sampling", CASES)
def test_frequencies_follow_the_distribution(sampling: Sampling) -> None:
    counts = drawn(sampling, DRAWS)
    assert chi_square(counts, expected_after_cutoffs(sampling), DRAWS) < LIMIT


def test_a_wrong_temperature_is_caught_by_the_frequencies() -> None:
    counts = drawn(Sampling(temperature=1.2), DRAWS)
    assert chi_square(counts, expected_after_cutoffs(Sampling(temperature=1.0)), DRAWS) > LIMIT


def test_frequencies_over_the_steps_of_one_request_follow_the_distribution() -> None:
    counts = Counter(picked(LOGITS, Sampling(seed=5), step) for step in range(DRAWS))
    assert chi_square(counts, softmax(LOGITS, 1.0), DRAWS) < LIMIT


@settings(deadline=None)
@given(rows)
def test_temperature_zero_is_the_likeliest_token(logits: NDArray[np.float32]) -> None:
    assert pick(logits, Sampling(temperature=0, top_k=3, seed=9), 4) == int(np.argmax(logits))


def test_of_equal_logits_greedy_takes_the_lowest_id() -> None:
    assert pick(np.array([0, 3, 3, 1], np.float32), Sampling(temperature=0), 0) == 1


@settings(deadline=None)
@given(rows, st.integers(1, 50), st.floats(0.1, 5))
def test_top_k_keeps_the_k_likeliest(logits: NDArray[np.float32], k: int, heat: float) -> None:
    ids, _ = distribution(logits, Sampling(temperature=heat, top_k=k))
    likeliest = np.argsort(-logits, kind="stable")[: min(k, len(logits))]
    assert sorted(ids) == sorted(likeliest)


@settings(deadline=None)
@given(rows, st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_nucleus_of_that_mass(
    logits: NDArray[np.float32], top_p: float
) -> None:
    ids, probabilities = distribution(logits, Sampling(top_p=top_p))
    shares = softmax(logits, 1.0)
    assert math.isclose(float(probabilities.sum()), float(shares[ids].sum()), rel_tol=1e-9)
    assert probabilities.sum() >= top_p - 1e-9
    assert probabilities[:-1].sum() < top_p + 1e-9  # one token fewer is not enough


@settings(deadline=None)
@given(rows, st.floats(0.01, 0.99))
def test_min_p_drops_what_is_below_its_share_of_the_likeliest(
    logits: NDArray[np.float32], min_p: float
) -> None:
    ids, _ = distribution(logits, Sampling(min_p=min_p))
    shares = softmax(logits, 1.0)
    for token, share in enumerate(shares):
        ratio = share / shares.max()
        if abs(ratio - min_p) > 1e-6:
            assert (token in ids) == (ratio >= min_p)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1, top_p=1e-9, seed=3),
        Sampling(temperature=1, top_k=1, seed=3),
        Sampling(temperature=1, min_p=1.0, seed=3),
        Sampling(temperature=1e-9, seed=3),
        Sampling(temperature=1e-310, seed=3),
        Sampling(temperature=5e-324, seed=3),
    ],
)
def test_the_narrowest_settings_leave_the_likeliest_token(sampling: Sampling) -> None:
    assert {pick(LOGITS, sampling, step) for step in range(50)} == {0}


def test_hot_settings_and_huge_logits_stay_finite() -> None:
    logits = np.array([3e38, -3e38, 0, 1], np.float32)
    _, probabilities = distribution(logits, Sampling(temperature=1e-3))
    assert np.isfinite(probabilities).all()


def test_a_forbidden_token_is_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[0] = -np.inf
    assert 0 not in {pick(logits, Sampling(temperature=2, seed=s), 0) for s in range(500)}


@settings(deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 100_000))
def test_the_random_number_is_a_function_of_seed_and_step(seed: int, step: int) -> None:
    for other in range(3):  # what other requests draw in between changes nothing
        uniform(other, step + other)
    assert uniform(seed, step) == uniform(seed, step)
    assert 0 <= uniform(seed, step) < 1
    assert uniform(seed, step) != uniform(seed, step + 1)


def test_neighbouring_seeds_and_steps_do_not_share_numbers() -> None:
    seen = {uniform(seed, step) for seed in range(60) for step in range(60)}
    assert len(seen) == 3600


def test_the_random_numbers_are_uniform_over_seeds() -> None:
    counts = Counter(int(uniform(seed, 0) * 8) for seed in range(DRAWS))
    assert chi_square(counts, np.full(8, 1 / 8), DRAWS) < LIMIT


def test_the_logits_are_not_changed() -> None:
    logits = LOGITS.copy()
    pick(logits, Sampling(temperature=0.5, top_k=2, top_p=0.5, min_p=0.1), 0)
    assert (logits == LOGITS).all()


# penalties, biases, bans: against a token at a time in plain Python

VOCABULARY = 12
odd = st.sampled_from([math.nan, math.inf, -math.inf, 3e38, -3e38, 0.0])
numbers = st.integers(-2000, 2000).map(lambda value: value / 100)
tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=15)
adjusted = st.builds(
    Sampling,
    temperature=st.just(0.0),
    repetition_penalty=st.sampled_from([1.0, 0.01, 0.5, 1.3, 10.0]),
    presence_penalty=st.sampled_from([0.0, -2.0, 0.7]),
    frequency_penalty=st.sampled_from([0.0, -0.4, 2.0]),
    logit_bias=st.dictionaries(
        st.integers(0, VOCABULARY - 1), st.sampled_from([-100.0, -0.5, 3.25, 100.0])
    ).map(lambda bias: tuple(bias.items())),
)


def row(values: st.SearchStrategy[float]) -> st.SearchStrategy[NDArray[np.float32]]:
    return st.lists(values, min_size=VOCABULARY, max_size=VOCABULARY).map(
        lambda numbers: np.array(numbers, np.float32)
    )


def reference(
    logits: NDArray[np.float32], prompt: list[int], answer: list[int], sampling: Sampling
) -> list[float]:
    """The documented order, one token at a time."""
    values = []
    for token, value in enumerate(map(float, logits)):
        if token in prompt or token in answer:
            penalty = sampling.repetition_penalty
            value = value / penalty if value > 0 else value * penalty
        value -= sampling.frequency_penalty * answer.count(token)
        value -= sampling.presence_penalty if token in answer else 0
        values.append(value + dict(sampling.logit_bias).get(token, 0))
    return values


def adjusted_row(
    sampler: Sampler, logits: NDArray[np.float32], context: ReadOnly[int]
) -> NDArray[np.float32]:
    seen: list[NDArray[np.float32]] = []
    sampler.pick(logits, context, restrict=lambda values: seen.append(values.copy()))
    return seen[0]


@settings(deadline=None)
@given(row(numbers), tokens, tokens, adjusted)
def test_penalties_and_biases_are_those_of_the_slow_way(
    logits: NDArray[np.float32], prompt: list[int], answer: list[int], sampling: Sampling
) -> None:
    sampler = Sampler(sampling, len(prompt), keep=True)
    got = logits
    for count in range(len(answer) + 1):  # the counts grow with the answer
        got = adjusted_row(sampler, logits, prompt + answer[:count])
        expected = reference(logits, prompt, answer[:count], sampling)
        assert np.allclose(got, expected, rtol=1e-5, atol=1e-4)
    fresh = Sampler(sampling, len(prompt), keep=True)
    assert (adjusted_row(fresh, logits, prompt + answer) == got).all()


def test_the_slow_way_tells_the_prompt_from_the_answer() -> None:
    """The control: with the prompt in the presence penalty the row would differ."""
    logits, sampling = np.zeros(VOCABULARY, np.float32), Sampling(presence_penalty=1)
    assert reference(logits, [3], [4], sampling)[3:5] == [0, -1]
    got = adjusted_row(Sampler(sampling, 0, keep=True), logits, [3, 4])
    assert not np.allclose(got, reference(logits, [3], [4], sampling))


@settings(deadline=None)
@given(row(numbers | odd), tokens, tokens, adjusted, st.sampled_from([0.0, 0.8]), st.booleans())
def test_what_is_no_number_is_never_drawn_and_nothing_is_raised(
    logits: NDArray[np.float32],
    prompt: list[int],
    answer: list[int],
    sampling: Sampling,
    temperature: float,
    narrow: bool,
) -> None:
    cut = {"top_p": 0.9, "min_p": 0.01, "typical_p": 0.9, "top_k": 7} if narrow else {}
    asked = replace(sampling, temperature=temperature, **cut)  # type: ignore[arg-type]
    before = logits.copy()
    token = Sampler(asked, len(prompt), keep=True).pick(logits, prompt + answer)
    assert np.array_equal(logits, before, equal_nan=True)
    if token is None:
        assert not (logits > -np.inf).any()
    else:
        assert logits[token] > -np.inf


@settings(deadline=None)
@given(row(numbers), st.sets(st.integers(0, VOCABULARY - 1)), st.sampled_from([0.0, 1.5]))
def test_a_banned_token_comes_only_where_nothing_else_may(
    logits: NDArray[np.float32], banned: set[int], heat: float
) -> None:
    token = Sampler(Sampling(temperature=heat), 0, keep=False).pick(logits, [], banned=banned)
    assert (token in banned) == (len(banned) == VOCABULARY)


@settings(deadline=None)
@given(row(numbers), st.sets(st.integers(0, VOCABULARY - 1)), st.sets(st.integers(0, 3)))
def test_a_grammar_is_never_overruled(
    logits: NDArray[np.float32], masked: set[int], banned: set[int]
) -> None:
    def restrict(values: NDArray[np.float32]) -> None:
        values[list(masked)] = -np.inf

    bias = tuple((token, 100.0) for token in masked)
    sampler = Sampler(Sampling(temperature=1, logit_bias=bias), 0, keep=True)
    token = sampler.pick(logits, [], restrict=restrict, banned=banned)
    assert (token is None) == (len(masked) == VOCABULARY)
    assert token not in masked


@settings(deadline=None)
@given(row(st.integers(0, 3).map(float)), st.integers(1, 20))
def test_of_equal_ones_the_lowest_ids_are_the_largest(
    values: NDArray[np.float32], count: int
) -> None:
    expected = sorted(range(VOCABULARY), key=lambda token: (-values[token], token))[:count]
    assert list(largest(values, count)) == expected


@settings(deadline=None)
@given(row(st.integers(0, 3).map(float)), st.integers(1, 12), st.sampled_from([1.0, 0.5, 0.99]))
def test_cutoffs_keep_the_lowest_ids_of_equal_tokens(
    logits: NDArray[np.float32], k: int, top_p: float
) -> None:
    ids, _ = distribution(logits, Sampling(top_k=k, top_p=top_p))
    order = sorted(range(VOCABULARY), key=lambda token: (-logits[token], token))
    assert sorted(ids) == sorted(order[: len(ids)])


@settings(deadline=None)
@given(row(numbers), st.floats(0.05, 0.95), st.sampled_from([0, 5]))
def test_typical_tokens_are_those_whose_surprise_is_next_to_the_entropy(
    logits: NDArray[np.float32], mass: float, top_k: int
) -> None:
    ids, _ = distribution(logits, Sampling(typical_p=mass, top_k=top_k))
    kept = sorted(range(VOCABULARY), key=lambda t: (-logits[t], t))[: top_k or VOCABULARY]
    weights = {t: math.exp(float(logits[t] - logits.max())) for t in kept}
    shares = {t: weight / sum(weights.values()) for t, weight in weights.items()}
    entropy = -sum(p * math.log(p) for p in shares.values())
    distance = {t: abs(-math.log(p) - entropy) for t, p in shares.items()}
    farthest = max(distance[int(t)] for t in ids)
    assert all(distance[t] >= farthest - 1e-9 for t in kept if t not in ids)
    total = sum(shares[int(t)] for t in ids)
    least = min(shares[int(t)] for t in ids if distance[int(t)] >= farthest - 1e-9)
    assert total >= mass - 1e-9
    assert total - max(least, 0) < mass + 1e-9  # one token fewer is not enough
    assert list(ids) == sorted(ids, key=lambda t: (-logits[t], t))
