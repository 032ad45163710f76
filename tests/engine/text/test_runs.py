"""A word that would overrun the tokeniser's stack is refused; every other text passes."""

import os
import threading
from collections.abc import Iterator

import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.runs import LONGEST, check_runs, recurses
from appliance.errors import BadRequest
from tests.fuzz import model_mutants, tiny_models
from tests.trust.forge import string

UNITS = {b"a": b" ", b"1": b"!", b"aZ9": b" ", b" ": b"x", b"\n\t": b"!", b"!": b"x", b"\0": b" "}
UNITS["é".encode()] = b" "


@pytest.mark.parametrize("unit", UNITS)
def test_a_run_is_refused_beyond_the_limit(unit: bytes) -> None:
    whole = unit * (LONGEST // len(unit))
    check_runs(whole + UNITS[unit] + whole)
    with pytest.raises(BadRequest) as caught:
        check_runs(whole + unit)
    assert caught.value.code == "request_too_large"


def test_text_of_any_length_passes() -> None:
    check_runs(b"word, 12\n" * 100_000)


def test_only_tokenisers_that_recurse_are_bounded() -> None:
    assert not recurses("llama-bpe") and not recurses("smollm")
    assert recurses("gpt-4o") and recurses("tekken") and recurses("default") and recurses(None)


@pytest.fixture(params=["gpt-4o", "tekken", "qwen2"])
def runner(library: Library, request: pytest.FixtureRequest) -> Iterator[ModelRunner]:
    made = tiny_models.qwen2()
    made.pairs["tokenizer.ggml.pre"] = string(request.param)
    fd = os.memfd_create("model")
    os.write(fd, model_mutants.build(made))
    yield ModelRunner(library, fd, RunnerConfig(n_ctx=64, slots=1, threads=1, n_batch=64))


def test_the_longest_run_that_is_allowed_is_tokenised(runner: ModelRunner) -> None:
    """On a stack as the worker's, or this test ends the whole run."""
    found: list[int] = []

    def tokenise() -> None:
        for letter in "aA !":
            text = letter * LONGEST
            found.append(len(runner.tokenize(text, add_special=False, parse_special=True)))

    usual = threading.stack_size(64 << 20)
    thread = threading.Thread(target=tokenise)
    thread.start()
    threading.stack_size(usual)
    thread.join()
    assert len(found) == 4 and all(found)


def test_a_longer_one_is_refused_where_it_recurses(runner: ModelRunner) -> None:
    text = "a" * (LONGEST + 1)
    if not recurses(runner.meta("tokenizer.ggml.pre")):
        assert runner.tokenize(text, add_special=False, parse_special=True)
        return
    with pytest.raises(BadRequest):
        runner.tokenize(text, add_special=False, parse_special=True)
