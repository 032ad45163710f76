"""Documents end within the tokens that are left, whatever the model would rather write."""

import functools
import json
import re
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.grammar import GrammarCache, Guide
from appliance.engine.text.json_completion import Endings
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Constraint, Tools

NAME: dict[str, Any] = {"type": "string"}


def holding(**value: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"u": {"type": "string", **value}}, "required": ["u"],
            "additionalProperties": False}  # fmt: skip


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

OPEN: list[dict[str, Any]] = [
    holding(format="uri"), holding(format="duration"), holding(format="email"),
    holding(pattern="[0-9]{3}"), holding(pattern="[A-Z]{2,4}-[0-9]{2,}"), holding(pattern="cat"),
    holding(pattern=r"\.txt$"), holding(pattern="^(ab)+c$"), holding(pattern="^.*cat.*end$"),
    {"type": "object", "properties": {"k": {"enum": ["alpha", "beta"]}}},
    {"type": "object", "properties": {"k": {"enum": ["alpha", "beta"]}}, "required": ["k"]},
    {"type": "object", "minProperties": 3},
    {"type": "object", "patternProperties": {"^(a|b|cc)$": {"type": "integer"}},
     "additionalProperties": False},
    {"type": "object", "properties": {"c": {"$ref": "#"}, "z": {"type": "string", "format": "uri"}},
     "required": ["z"]},
]  # fmt: skip
"""Schemas whose strings and objects do not end everywhere."""
LOVES = {"letters": rb"[A-Za-z]+", "digits": rb"[0-9]+", "signs": rb"[:/.@%\[\\-]+",
         "a key": rb"a|\"|\":|,|\",\"|\":\"|1|\{"}  # fmt: skip


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return ModelRunner(library, sealed_model.reopen(), RunnerConfig(256, 1, 1, 64))


@pytest.fixture(scope="module")
def grammars(runner: ModelRunner) -> GrammarCache:
    return GrammarCache(runner.guidance_tokenizer)


@functools.cache
def wishes(runner: ModelRunner, loved: bytes) -> NDArray[np.float32]:
    pieces = [runner.piece(token) for token in range(runner.n_vocab)]
    if loved:
        return 10 * np.array([bool(re.fullmatch(loved, piece)) for piece in pieces], np.float32)
    closing, opening = (
        np.array([bool(set(piece) & set(signs)) for piece in pieces], np.float32)
        for signs in (b'"]}', b"{[,")
    )
    return 10 * opening - 20 * closing


def written(
    runner: ModelRunner, guide: Guide, budget: int, seed: int, loved: bytes = b""
) -> str | None:
    """Its model opens all and closes nothing, or writes what `loved` matches; None if cut off."""
    random = np.random.default_rng(seed)
    tokens: list[int] = []
    while not guide.stopped and len(tokens) < budget:
        logits = random.standard_normal(runner.n_vocab).astype(np.float32)
        logits += wishes(runner, loved)
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


def needed(grammars: GrammarCache, constraint: Constraint) -> int:
    *_, need = grammars._ready(constraint)
    assert need is not None
    return need


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("more", [0, 1, 7, 40])
def test_a_document_that_can_end_does(
    runner: ModelRunner, grammars: GrammarCache, schema: dict[str, Any], more: int
) -> None:
    constraint = Constraint("json_schema", json.dumps(schema))
    budget = needed(grammars, constraint) + more
    for seed in range(2):
        guide = grammars.guide(constraint)
        text = written(runner, guide, budget, seed)
        assert text is not None and jsonschema_rs.is_valid(schema, json.loads(text)), text


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that comes twice, as the server does of what it is sent."""
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


@pytest.mark.swept
@pytest.mark.parametrize("loved", [b"", *LOVES.values()], ids=["openings", *LOVES])
@pytest.mark.parametrize("schema", OPEN)
def test_what_does_not_end_everywhere_ends_in_time(
    runner: ModelRunner, grammars: GrammarCache, schema: dict[str, Any], loved: bytes
) -> None:
    constraint = Constraint("json_schema", json.dumps(schema))
    for more in (0, 7, 90):
        budget = needed(grammars, constraint) + more
        guide = grammars.guide(constraint)
        text = written(runner, guide, budget, more, loved)
        assert text is not None and guide.wrote(text, complete=True), (more, text)
        json.loads(text, object_pairs_hook=unique)


def test_without_phrases_and_the_limit_of_keys_neither_holds(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    constraint = Constraint("json_schema", json.dumps(OPEN[3]))
    guide = grammars.guide(constraint)
    assert guide._end is not None
    guide._end._phrases = []
    assert written(runner, guide, needed(grammars, constraint) + 7, 7, LOVES["letters"]) is None
    guide = grammars.guide(Constraint("json_object"))
    assert guide._limits is not None
    guide._limits._endings = Endings([], 0)
    written(runner, guide, 50, 2, LOVES["a key"])
    assert guide._limits.text.repeated


def test_any_object_ends(runner: ModelRunner, grammars: GrammarCache) -> None:
    text = written(runner, grammars.guide(Constraint("json_object")), 30, 0)
    assert text is not None and isinstance(json.loads(text), dict)


def test_a_demanded_call_ends(runner: ModelRunner, grammars: GrammarCache) -> None:
    functions = ({"name": "report", "parameters": TREE},)
    constraint = ForcedCalls.constraint(Tools(functions, ("report",), False), "hermes")
    budget = needed(grammars, constraint) + 25
    text = written(runner, grammars.guide(constraint), budget, 1)
    assert text is not None and text.endswith("</tool_call>")


def test_where_the_schema_leaves_no_room_the_answer_is_cut_as_before(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    constraint = Constraint("json_schema", json.dumps(PART))
    guide = grammars.guide(constraint)
    room = needed(grammars, constraint) // 2  # well below: the way is short, not the shortest
    assert written(runner, guide, room, 0) is None


def test_an_answer_with_room_is_left_alone(runner: ModelRunner, grammars: GrammarCache) -> None:
    guide = grammars.guide(Constraint("json_schema", json.dumps(PART)))
    for token in (0, 1000):
        assert guide.within(token, 100_000) == token


def test_without_that_the_same_answers_are_cut_off(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    constraint = Constraint("json_schema", json.dumps(TREE))
    budget = needed(grammars, constraint) + 20
    guide = grammars.guide(constraint)
    guide._end = None
    assert written(runner, guide, budget, 0) is None
