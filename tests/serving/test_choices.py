"""Choices of one request: what may leave when, the ranking, and what is recorded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.serving.choices import Choices, ranked
from appliance.types import Delta, GenerationRequest, TokenLogprob


def asked(n: int, best_of: int | None = None, logprobs: int | None = None) -> GenerationRequest:
    return GenerationRequest("m", prompt="x", n=n, best_of=best_of, logprobs=logprobs)


def value(logprob: float | None) -> TokenLogprob:
    return TokenLogprob(b"t", logprob, (), 0)


def piece(text: str, logprob: float, index: int, *, finish: bool = False) -> Delta:
    return Delta(text, 1, "stop" if finish else None, index, (value(logprob),))


def test_pieces_leave_as_they_come_but_the_last_of_each_waits() -> None:
    choices = Choices(asked(2))
    assert choices.take(Delta("a", 1, index=1)) == Delta("a", 1, None, 1)
    assert choices.take(Delta("", 1, index=1)) is None
    assert choices.take(Delta("b", 1, "stop", 1)) is None
    assert choices.finish == "stop"
    assert choices.take(Delta("c", 1, "length", 0)) is None
    assert not choices.running
    assert choices.last() == [Delta("c", 1, "length", 0), Delta("b", 1, "stop", 1)]
    assert (choices.finish, choices.cancelled) == ("length,stop", False)
    assert choices.contents() == {"completion": b"c", "completion-1": b"ab"}


def test_one_cancelled_choice_cancels_the_answer() -> None:
    choices = Choices(asked(2))
    assert choices.take(Delta("a", 1, "stop", 0)) is None
    assert (choices.finish, choices.cancelled, choices.running) == ("stop", False, True)
    assert choices.take(Delta("", 0, "cancelled", 1)) is None
    assert (choices.finish, choices.cancelled, choices.running) == ("stop,cancelled", True, False)


scores = st.lists(st.integers(-50, 0).map(float), min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(scores, min_size=2, max_size=8), st.data())
def test_the_best_by_their_mean_are_the_answer(
    made: list[list[float]], data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(made) - 1))
    request = asked(n, len(made), data.draw(st.sampled_from([None, 0])))
    assert ranked(request)
    choices = Choices(request)
    # An echoed prompt has values too; they are not the answer's.
    for index, values in enumerate(made):
        prompt = Delta("p", 0, None, index, (value(None), value(-99.0)))
        assert choices.take(prompt) is None
        for place, logprob in enumerate(values):
            last = place == len(values) - 1
            assert choices.take(piece(f"{index},", logprob, index, finish=last)) is None
    order = sorted(range(len(made)), key=lambda i: (-sum(made[i]) / len(made[i]), i))
    told = choices.last()
    assert [d.text for d in told] == ["p" + f"{i}," * len(made[i]) for i in order[:n]]
    assert [d.index for d in told] == list(range(n))
    assert [len(d.logprobs) for d in told] == [
        0 if request.logprobs is None else len(made[i]) + 2 for i in order[:n]
    ]
    assert len(choices.contents()) == len(made)


def test_without_more_choices_than_answers_nothing_is_ranked() -> None:
    assert not ranked(asked(3)) and not ranked(asked(3, 3)) and ranked(asked(2, 3))
