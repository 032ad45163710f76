"""Loads depend on their numbers alone, and have the shapes that they are named for."""

import itertools
from collections.abc import Callable

import msgspec
import pytest

from benchmarks.loads import (
    Ask,
    Group,
    Load,
    documents,
    independent,
    mixed,
    poisson,
    shared,
    staggered,
)

MAKERS: dict[str, Callable[[int], list[Ask]]] = {
    "indep": lambda run: independent(8, run),
    "staggered": lambda run: staggered(8, run),
    "shared": lambda run: shared(8, run),
    "poisson": lambda run: poisson(2.0, 40, run),
    "json": lambda run: documents(8, run, task=False),
    "task": lambda run: documents(8, run, task=True),
}


def prompts(asks: list[Ask]) -> list[str]:
    return [ask.body["prompt"] for ask in asks]


def common(a: str, b: str) -> int:
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_numbers_make_the_same_load(name: str) -> None:
    assert MAKERS[name](3) == MAKERS[name](3)


@pytest.mark.parametrize("name", MAKERS)
def test_repetitions_share_no_prompt(name: str) -> None:
    assert not set(prompts(MAKERS[name](0))) & set(prompts(MAKERS[name](1)))


def test_independent_prompts_share_no_prefix() -> None:
    for a, b in itertools.combinations(prompts(independent(8, 0)), 2):
        assert len(a.split()) == 128
        assert common(a, b) < 60  # characters: a few words by chance


@pytest.mark.parametrize("name", ["shared", "task"])
def test_a_shared_prefix_is_a_thousand_words(name: str) -> None:
    for a, b in itertools.combinations(prompts(MAKERS[name](0)), 2):
        assert len(a[: common(a, b)].split()) >= 1000
        assert a != b


def test_arrivals_have_the_rate_and_the_order_asked_for() -> None:
    asks = poisson(50.0, 2000, 0)
    moments = [ask.at for ask in asks if ask.at is not None]
    assert len(moments) == len(asks) == 2000
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert 36 < moments[-1] < 44  # 40 seconds within 4.5 standard deviations


def test_two_of_five_prompts_are_long() -> None:
    lengths = [len(body["prompt"].split()) for body in itertools.islice(mixed(0), 50)]
    assert sorted(set(lengths)) == [64, 900]
    assert lengths.count(900) == 20


def test_documents_end_where_the_schema_ends() -> None:
    for ask in documents(2, 0, task=False):
        assert ask.document
        assert "ignore_eos" not in ask.body
        assert "json_schema" in ask.body
    (ask, _) = documents(2, 0, task=False, grammar=True)
    assert "grammar" in ask.body and "json_schema" not in ask.body


def test_a_load_crosses_the_pipe_unchanged() -> None:
    load = Load("127.0.0.1", 1, [Group("A", "k", poisson(2.0, 5, 0), 8)], 3.0)
    assert msgspec.json.decode(msgspec.json.encode(load), type=Load) == load
