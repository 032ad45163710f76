"""Numbers end: the digits that are left, and the tokens that need more."""

import json
import re
from typing import Any

import numpy as np
import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.grammar import GrammarCache, Guide
from appliance.engine.text.json_scanner import MOST_DIGITS, JsonText
from appliance.engine.text.numbers import Growing
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Constraint, Tools

LITERAL = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def room(text: str, at_once: bool = True) -> int | None:
    numbers = JsonText()
    for part in [text] if at_once else text:
        numbers.feed(part.encode())
    return numbers.room


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", None), ("{", None), ('{"a1": ', None), ("-", None), ("7", 15), ("[1,-23", 14),
        ("1.", 15), ("1.50", 13), ("0.000", 12), ("12345678901234567", -1), ("1e", 2), ("1e+", 2),
        ("1E-5", 1), ("1.5e10", 0), ("123456789012345e", 1), ('"12', None), ('"a\\"12', None),
        ('"12",3', 15), ("12,", None), ("true", None), ('"é\\\\",45', 14), ("1e5,22", 14),
    ],
)  # fmt: skip
def test_the_digits_that_are_left(text: str, left: int | None, at_once: bool) -> None:
    assert room(text, at_once) == left


def test_tokens_that_need_more_room() -> None:
    pieces = [
        b"1",
        b"12",
        b"123",
        b"1,",
        b"12}",
        b".",
        b".5",
        b"e",
        b"-",
        b",",
        b"a1",
        b"",
        b"\xff",
    ]
    growing = Growing(pieces)
    assert growing.most == 3
    assert [pieces[t] for t in growing.beyond(2)] == [b"123"]
    assert [pieces[t] for t in growing.beyond(1)] == [b"12", b"123", b"12}"]
    assert {pieces[t] for t in growing.beyond(0)} == {*pieces[:9]}


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return ModelRunner(library, sealed_model.reopen(), RunnerConfig(256, 1, 1, 64))


@pytest.fixture(scope="module")
def grammars(runner: ModelRunner) -> GrammarCache:
    return GrammarCache(runner.guidance_tokenizer)


def in_love_with_digits(runner: ModelRunner, guide: Guide, seed: int) -> str:
    random = np.random.default_rng(seed)
    wanted = np.array([bool(re.match(rb"[\d.eE]", runner.piece(t))) for t in range(runner.n_vocab)])
    tokens: list[int] = []
    while not guide.stopped and len(tokens) < 300:
        logits = random.standard_normal(runner.n_vocab).astype(np.float32) + 20 * wanted
        guide.restrict(logits)
        following = guide.accept(token := int(logits.argmax()))
        assert following is not None
        tokens += [token, *following]
    assert guide.stopped
    return b"".join(map(runner.piece, tokens)).decode()


def digits(text: str) -> list[int]:
    return [sum(map(str.isdigit, found)) for found in LITERAL.findall(text)]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"}, {"type": "number"}, {"type": "integer", "minimum": -5},
        {"type": "number", "minimum": 0.5}, {"type": "number", "exclusiveMaximum": 3},
        {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
        {"type": "object", "properties": {"a": {"type": ["number", "null"]}}, "required": ["a"],
         "additionalProperties": False},
        {"anyOf": [{"type": "integer"}, {"type": "number"}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_would_write_digits_for_ever_is_held(
    runner: ModelRunner, grammars: GrammarCache, schema: dict[str, Any], seed: int
) -> None:
    guide = grammars.guide(Constraint("json_schema", json.dumps(schema)))
    text = in_love_with_digits(runner, guide, seed)
    found = digits(text)
    assert found and max(found) <= MOST_DIGITS, text
    assert guide.wrote(text, complete=True)
    assert all(abs(float(number)) < float("inf") for number in LITERAL.findall(text))


@pytest.mark.parametrize(
    ("schema", "least"),
    [
        ({"type": "integer", "minimum": 10**16, "maximum": 10**17}, 17),
        ({"const": 1234567890123456789012}, 22), ({"enum": [0.12345678901234567]}, 18),
        ({"type": "integer", "minimum": 10**17}, 18),
    ],
)  # fmt: skip
def test_a_schema_that_wants_a_longer_number_gets_it(
    runner: ModelRunner, grammars: GrammarCache, schema: dict[str, Any], least: int
) -> None:
    text = in_love_with_digits(
        runner, grammars.guide(Constraint("json_schema", json.dumps(schema))), 1
    )
    assert max(digits(text)) >= least


def test_arguments_of_a_demanded_call_end_too(runner: ModelRunner, grammars: GrammarCache) -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"],
                  "additionalProperties": False}  # fmt: skip
    functions = ({"name": "f", "parameters": parameters},)
    constraint = ForcedCalls.constraint(Tools(functions, ("f",), False), "hermes")
    text = in_love_with_digits(runner, grammars.guide(constraint), 2)
    assert text.endswith("</tool_call>") and max(digits(text)) <= MOST_DIGITS


def test_digits_that_are_no_number_are_left_alone(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    guide = grammars.guide(Constraint("regex", "[0-9]{40}"))
    assert len(in_love_with_digits(runner, guide, 0)) == 40
