"""Counts of one request."""

from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


def make(tokens: list[int]) -> Sequence:
    return Sequence(
        id=1, tokens=tokens, sampling=Sampling(), max_tokens=5, stream=TextStream(), computed=0
    )


def test_counts_follow_prompt_computation_and_generation() -> None:
    sequence = make([7, 8, 9])
    assert (sequence.prompt_tokens, sequence.pending, sequence.generated) == (3, 3, 0)
    sequence.computed = 3
    sequence.tokens.append(4)
    assert (sequence.prompt_tokens, sequence.pending, sequence.generated) == (3, 1, 1)
    assert sequence.chunk(1) == [4]


def test_a_sequence_set_aside_has_everything_pending_again() -> None:
    sequence = make([7, 8])
    sequence.computed = 2
    sequence.tokens += [3, 4]
    sequence.computed = 0
    assert sequence.pending == 4
    assert sequence.chunk(10) == [7, 8, 3, 4]
    assert sequence.generated == 2


def test_a_fresh_one_takes_nothing_from_the_cache() -> None:
    sequence = make([7, 8, 9])
    assert sequence.reusable == 2
    sequence.fresh = True
    assert sequence.reusable == 0


def test_two_requests_with_equal_fields_are_not_the_same_request() -> None:
    assert make([1]) != make([1])
