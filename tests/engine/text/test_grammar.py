"""Constraints on the real vocabulary, driven by random logits instead of a model."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from datetime import time as clock
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.calls import ForcedCalls
from appliance.engine.text.grammar import MAX_RULES, GrammarCache, Guide
from appliance.engine.text.schemas import MAX_BYTES, MAX_DEPTH
from appliance.errors import BadRequest, StateRefused
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Constraint, Tools

REPORT = {
    "type": "object",
    "properties": {
        "part": {"enum": ["pump", "valve", "motor"]},
        "severity": {"type": "integer", "minimum": 1, "maximum": 5},
        "leak": {"type": "boolean"},
        "note": {"type": "string", "maxLength": 12},
    },
    "required": ["part", "severity", "leak", "note"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return ModelRunner(library, sealed_model.reopen(), RunnerConfig(256, 1, 1, 64))


@pytest.fixture(scope="module")
def grammars(runner: ModelRunner) -> Iterator[GrammarCache]:
    yield GrammarCache(runner.guidance_tokenizer)


def schema(value: object) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


def write(
    runner: ModelRunner, guide: Guide, seed: int, *, masked: bool = True
) -> tuple[str, int, int]:
    random = np.random.default_rng(seed)
    tokens: list[int] = []
    sampled = forced = 0
    while not guide.stopped and len(tokens) < 200:
        logits = random.standard_normal(runner.n_vocab).astype(np.float32)
        if masked:
            guide.restrict(logits)
        token = int(logits.argmax())
        following = guide.accept(token)
        if following is None:
            break
        tokens += [token, *following]
        sampled, forced = sampled + 1, forced + len(following)
    return b"".join(runner.piece(t) for t in tokens).decode(), sampled, forced


@pytest.mark.parametrize("seed", range(5))
def test_any_logits_give_a_valid_document(
    runner: ModelRunner, grammars: GrammarCache, seed: int
) -> None:
    text, sampled, forced = write(runner, grammars.guide(schema(REPORT)), seed)
    assert jsonschema_rs.is_valid(REPORT, json.loads(text))
    assert " " not in text.split('"note"')[0], "compact separators"
    assert forced > sampled / 2, "keys and punctuation are not asked of the model"


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "object", "properties": {f"{n:x}": {"type": "null"} for n in range(498)}},
        {"anyOf": [{"type": "array"}] * 284},
        {"enum": [{"a": n} for n in range(1000)]},
    ],
)
def test_the_largest_schema_that_is_taken_can_be_followed(
    runner: ModelRunner, grammars: GrammarCache, asked: Any
) -> None:
    guide = grammars.guide(schema(asked))
    for begun in (b"{", b'"', b"["):  # where most may come next
        logits = np.zeros(runner.n_vocab, np.float32)
        token = next(t for t in range(runner.n_vocab) if runner.piece(t) == begun)
        guide.restrict(logits)
        if np.isfinite(logits[token]):
            assert guide.accept(token) is not None
    logits = np.zeros(runner.n_vocab, np.float32)
    guide.restrict(logits)
    assert np.isfinite(logits).any()


def test_without_the_mask_the_same_logits_are_refused(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    text, *_ = write(runner, grammars.guide(schema(REPORT)), 0, masked=False)
    assert text == ""


@pytest.mark.parametrize(
    ("constraint", "answers"),
    [
        (Constraint("choice", '["yes","no"]'), {"yes", "no"}),
        (Constraint("choice", json.dumps(['a "quoted" one'])), {'a "quoted" one'}),
        (Constraint("regex", "[ab]c"), {"ac", "bc"}),
    ],
)
def test_choices_and_expressions(
    runner: ModelRunner, grammars: GrammarCache, constraint: Constraint, answers: set[str]
) -> None:
    assert {write(runner, grammars.guide(constraint), seed)[0] for seed in range(8)} <= answers


def test_guides_of_one_constraint_share_no_state(
    runner: ModelRunner, grammars: GrammarCache
) -> None:
    first, second = grammars.guide(schema(REPORT)), grammars.guide(schema(REPORT))
    write(runner, first, 1)
    assert first.stopped
    assert not second.stopped


def test_the_independent_check_catches_a_broken_document(grammars: GrammarCache) -> None:
    guide = grammars.guide(schema(REPORT))
    assert guide.wrote('{"part":', complete=False)
    assert not guide.wrote('"spoon"}', complete=True)
    assert not grammars.guide(schema(REPORT)).wrote("no JSON", complete=True)


def nested(depth: int) -> str:
    opening = '{"type":"object","properties":{"a":'
    return opening * depth + '{"type":"string"}' + "}}" * depth


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("json_schema", "{"), "not JSON"),
        (Constraint("json_schema", "[1]"), "not an object"),
        (Constraint("json_schema", nested(900)), "deeper"),
        (Constraint("json_schema", nested(MAX_DEPTH)), "deeper"),
        (Constraint("json_schema", "[" * 30_000), "deeper"),
        (schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (schema({"type": "integer", "minimum": 10**30}), "the limits of this integer"),
        (schema({"type": "string", "x-guidance": {"lenient": True}}), "x-guidance"),
        (schema({"$ref": "http://192.0.2.1/schema"}), "192.0.2.1"),
        (schema({"type": "nonsense"}), "nonsense"),
        (schema({"enum": ["x" * MAX_BYTES]}), "larger than"),
        (Constraint("regex", "(" * 30_000 + ")" * 30_000), "regex"),
        (Constraint("regex", "("), "regex"),
        (Constraint("choice", "[]"), "between 1 and"),
        (Constraint("choice", '[""]'), "not empty"),
        (Constraint("choice", "[1]"), "not empty"),
    ],
)
def test_what_cannot_be_enforced_is_refused(
    grammars: GrammarCache, constraint: Constraint, reason: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        grammars.guide(constraint)
    assert refusal.value.code == "invalid_schema"
    assert refusal.value.message.startswith("Invalid schema for response_format")
    assert reason in refusal.value.message
    assert not re.search(r"option|lenient|coerce|Some\(", refusal.value.message)


def test_a_library_is_not_quoted_on_its_switches(grammars: GrammarCache) -> None:
    either = {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]}
    function = {"name": "f", "parameters": {"type": "object", "properties": {"a": either}}}
    for asked in (schema(either), ForcedCalls.constraint(Tools((function,), ("f",)), "hermes")):
        with pytest.raises(BadRequest) as refusal:
            grammars.guide(asked)
        assert refusal.value.message.endswith("oneOf constraints are not supported.")


@pytest.mark.parametrize(
    ("asked", "accepted"),
    [
        ({"type": "string", "format": "colour"}, '"x"'),
        ({"type": "string", "format": "regex"}, '"("'),
        ({"type": "object", "properties": {"x-guidance": {"type": "string"}},
          "required": ["x-guidance"], "additionalProperties": False}, '{"x-guidance":"x"}'),
        ({"const": {"x-guidance": 1, "format": "uri"}}, '{"x-guidance":1,"format":"uri"}'),
        ({"const": 10**30}, str(10**30)),
    ],
)  # fmt: skip
def test_annotations_names_and_data_are_no_keywords(
    grammars: GrammarCache, asked: dict[str, Any], accepted: str
) -> None:
    guide = grammars.guide(schema(asked))
    assert guide.wrote(accepted, complete=True)


def test_a_document_with_a_key_twice_is_refused(grammars: GrammarCache) -> None:
    guide = grammars.guide(schema({"type": "object"}))
    assert not guide.wrote('{"a":1,"a":1}', complete=True)


VERDICT = 'start: verdict " because " reason\nverdict: "ok" | "defect"\nreason: /[a-z]{3,8}/\n'


def test_signed_grammars_are_asked_for_by_name(runner: ModelRunner) -> None:
    signed = {"verdict": Constraint("lark", VERDICT), "report": schema(REPORT)}
    grammars = GrammarCache(runner.guidance_tokenizer, signed)
    for seed in range(5):
        text, *_ = write(runner, grammars.guide(Constraint("grammar", "verdict")), seed)
        assert re.fullmatch("(ok|defect) because [a-z]{3,8}", text)
    guide = grammars.guide(Constraint("grammar", "report"))
    assert jsonschema_rs.is_valid(REPORT, json.loads(write(runner, guide, 0)[0]))
    assert not grammars.guide(Constraint("grammar", "report")).wrote("{}", complete=True)
    with pytest.raises(BadRequest) as refusal:
        grammars.guide(Constraint("grammar", "Verdict"))
    assert refusal.value.code == "unknown_grammar"
    assert "verdict, report" in refusal.value.message


def test_without_signed_grammars_no_name_is_known(grammars: GrammarCache) -> None:
    with pytest.raises(BadRequest, match="none") as refusal:
        grammars.guide(Constraint("grammar", "verdict"))
    assert refusal.value.code == "unknown_grammar"


def chain(rules: int) -> str:
    lines = "".join(f"r{number}: r{number + 1}\n" for number in range(rules))
    return f'start: r0\n{lines}r{rules}: "a"'


def test_the_longest_chain_of_rules_that_is_taken_compiles(runner: ModelRunner) -> None:
    GrammarCache(runner.guidance_tokenizer, {"a": Constraint("lark", chain(MAX_RULES - 2))})


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("lark", ""), "no start rule"),
        (Constraint("lark", "root ::= x"), "Expected"),
        (Constraint("lark", "start: other"), "unknown name"),
        (Constraint("lark", "start: " + "(" * 30_000 + '"a"' + ")" * 30_000), "nested"),
        (Constraint("lark", "start: X\nX: /" + "(" * 900 + "a" + ")" * 900 + "/"), "regex"),
        (Constraint("lark", chain(MAX_RULES)), "lines"),
        (Constraint("lark", 'start: %json {"type": "array", "uniqueItems": true}'), "uniqueItems"),
        (Constraint("lark", 'start[temperature=0.5]: "a"'), "temperature"),
        (Constraint("lark", "//" + "x" * MAX_BYTES), "larger than"),
        (schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (schema({"type": "string", "x-guidance": {"lenient": True}}), "x-guidance"),
    ],
)
def test_a_signed_grammar_that_cannot_be_enforced_stops_the_load(
    runner: ModelRunner, constraint: Constraint, reason: str
) -> None:
    with pytest.raises(StateRefused) as refusal:
        GrammarCache(runner.guidance_tokenizer, {"hostile": constraint})
    assert refusal.value.code == "grammar_invalid"
    assert refusal.value.message.startswith("The grammar hostile: ")
    assert reason in refusal.value.message


@pytest.mark.parametrize("name", ["date", "time", "date-time"])
def test_dates_and_times_are_those_that_python_reads(
    runner: ModelRunner, grammars: GrammarCache, name: str
) -> None:
    kinds: dict[str, Any] = {"date": date, "time": clock, "date-time": datetime}
    read = kinds[name].fromisoformat
    for seed in range(40):
        text, *_ = write(runner, grammars.guide(schema({"type": "string", "format": name})), seed)
        assert read(json.loads(text))


def test_a_date_beside_a_pattern_meets_both(runner: ModelRunner, grammars: GrammarCache) -> None:
    leap = {"type": "string", "format": "date", "pattern": "-02-29$", "minLength": 1}
    for seed in range(10):
        text, *_ = write(runner, grammars.guide(schema(leap)), seed)
        day = date.fromisoformat(json.loads(text))
        assert (day.month, day.day) == (2, 29)


@pytest.mark.parametrize(
    "impossible",
    [
        {"type": "string", "format": "date", "pattern": "^2023-02-29$"},
        {"type": "integer", "minimum": 5, "maximum": 3}, {"enum": []}, {"anyOf": []},
        {"type": "string", "pattern": "^a$", "minLength": 5}, {"type": "string", "const": 5},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]},
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"type": "array", "items": False, "minItems": 1}, {"allOf": [{"type": "null"}, False]},
        {"type": "integer", "multipleOf": 10, "minimum": 1, "maximum": 9},
        {"$ref": "http://127.0.0.1:9/schema"}, {"$ref": "file:///etc/passwd"},
        {"$schema": "http://127.0.0.1:9/meta", "type": "object"}, {"const": "\ud800"},
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_met_is_refused(grammars: GrammarCache, impossible: object) -> None:
    with pytest.raises(BadRequest) as caught:
        grammars.guide(schema(impossible))
    assert caught.value.code == "invalid_schema"
