"""Documents end within the tokens that are left, whatever the model would rather write."""

import json
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from appliance.engine.runner import Library, Runner, RunnerConfig
from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.grammar import Grammars, Guide
from appliance.trust.sealed import SealedFile
from appliance.types import Constraint, Tools

NAME: dict[str, Any] = {"type": "string"}
PART = {
    "type": "object",
    "properties": {"name": NAME, "weight": {"type": "number"}, "note": {"enum": ["ok", "bad"]}},
    "required": ["name", "weight", "note"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"name": NAME, "parts": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "parts"],
    "additionalProperties": False,
}
SCHEMAS: list[dict[str, Any]] = [
    NAME, {"type": "integer"}, {"type": "array", "items": PART}, PART, TREE,
    {"type": "array", "items": {"type": "array", "items": NAME}, "minItems": 2},
    {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    {"anyOf": [PART, {"type": "null"}]},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date"},
     "kind": {"enum": ["long answer", "longer answer"]}}, "required": ["when", "kind"],
     "additionalProperties": False},
]  # fmt: skip


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> Runner:
    return Runner(library, sealed_model.reopen(), RunnerConfig(256, 1, 1, 64))


@pytest.fixture(scope="module")
def grammars(runner: Runner) -> Grammars:
    return Grammars(runner.guidance_tokenizer)


def written(runner: Runner, guide: Guide, budget: int, seed: int) -> str | None:
    """A text of a model that opens what it can and closes nothing; None if it was cut off."""
    random = np.random.default_rng(seed)
    unwanted = np.array([bool(set(runner.piece(t)) & set(b'"]}')) for t in range(runner.n_vocab)])
    opening = np.array([bool(set(runner.piece(t)) & set(b"{[,")) for t in range(runner.n_vocab)])
    tokens: list[int] = []
    while not guide.stopped and len(tokens) < budget:
        logits = random.standard_normal(runner.n_vocab).astype(np.float32)
        logits += 10 * opening - 20 * unwanted
        guide.restrict(logits)
        token = guide.within(int(logits.argmax()), budget - len(tokens))
        if token in runner.ends:
            tokens.append(token)
            break
        following = guide.accept(token)
        assert following is not None
        tokens += [token, *following]
    complete = len(tokens) <= budget and (guide.stopped or tokens[-1] in runner.ends)
    return b"".join(map(runner.piece, tokens)).decode() if complete else None


def needed(grammars: Grammars, constraint: Constraint) -> int:
    *_, need = grammars._ready(constraint)
    assert need is not None
    return need


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("more", [0, 1, 7, 40])
def test_a_document_that_can_end_does(
    runner: Runner, grammars: Grammars, schema: dict[str, Any], more: int
) -> None:
    constraint = Constraint("json_schema", json.dumps(schema))
    budget = needed(grammars, constraint) + more
    for seed in range(2):
        guide = grammars.guide(constraint)
        text = written(runner, guide, budget, seed)
        assert text is not None and jsonschema_rs.is_valid(schema, json.loads(text)), text


def test_any_object_ends(runner: Runner, grammars: Grammars) -> None:
    text = written(runner, grammars.guide(Constraint("json_object")), 30, 0)
    assert text is not None and isinstance(json.loads(text), dict)


def test_a_demanded_call_ends(runner: Runner, grammars: Grammars) -> None:
    functions = ({"name": "report", "parameters": TREE},)
    constraint = ForcedCalls.constraint(Tools(functions, ("report",), False), "hermes")
    budget = needed(grammars, constraint) + 25
    text = written(runner, grammars.guide(constraint), budget, 1)
    assert text is not None and text.endswith("</tool_call>")


def test_where_the_schema_leaves_no_room_the_answer_is_cut_as_before(
    runner: Runner, grammars: Grammars
) -> None:
    constraint = Constraint("json_schema", json.dumps(PART))
    guide = grammars.guide(constraint)
    assert written(runner, guide, needed(grammars, constraint) - 2, 0) is None


def test_an_answer_with_room_is_left_alone(runner: Runner, grammars: Grammars) -> None:
    guide = grammars.guide(Constraint("json_schema", json.dumps(PART)))
    for token in (0, 1000):
        assert guide.within(token, 100_000) == token


def test_without_that_the_same_answers_are_cut_off(runner: Runner, grammars: Grammars) -> None:
    constraint = Constraint("json_schema", json.dumps(TREE))
    budget = needed(grammars, constraint) + 20
    guide = grammars.guide(constraint)
    guide._end = None
    assert written(runner, guide, budget, 0) is None
