"""Calls that a grammar makes, on the real vocabulary with random logits instead of a model."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.text.calls import MOST_CALLS, ForcedCalls
from appliance.engine.text.grammar import GrammarCache
from appliance.engine.text.reply import Dialect, ParsedReply, ReplyForm
from appliance.errors import BadRequest
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Constraint, Tools
from tests.engine.text.test_grammar import REPORT, write

DAY = {"type": "object", "properties": {"day": {"enum": ["mon", "tue"]}}, "required": ["day"]}
FUNCTIONS: tuple[dict[str, Any], ...] = (
    {"name": "report", "parameters": REPORT},
    {"name": "opening-hours", "parameters": {**DAY, "additionalProperties": False}},
)
NAMES = frozenset(f["name"] for f in FUNCTIONS)


@pytest.fixture(scope="module")
def runner(library: Library, sealed_model: SealedFile) -> ModelRunner:
    return ModelRunner(library, sealed_model.reopen(), RunnerConfig(256, 1, 1, 64))


@pytest.fixture(scope="module")
def grammars(runner: ModelRunner) -> Iterator[GrammarCache]:
    yield GrammarCache(runner.guidance_tokenizer)


def forced(
    dialect: Dialect, *names: str, parallel: bool = False, functions: Any = FUNCTIONS
) -> Constraint:
    return ForcedCalls.constraint(Tools(functions, names, parallel), dialect)


def calls(text: str, dialect: Dialect) -> list[tuple[str, Any]]:
    reply = ParsedReply(ReplyForm(dialect, NAMES))
    pieces = [*reply.push(text), *reply.finish()]
    assert {p.kind for p in pieces} <= {"call", "arguments"}, pieces
    names = [p.text for p in pieces if p.kind == "call"]
    return list(
        zip(names, [json.loads(p.text) for p in pieces if p.kind == "arguments"], strict=True)
    )


@pytest.mark.parametrize("dialect", ["hermes", "json"])
@pytest.mark.parametrize("seed", range(4))
def test_any_logits_make_one_call_with_valid_arguments(
    runner: ModelRunner, grammars: GrammarCache, dialect: Dialect, seed: int
) -> None:
    text, *_ = write(runner, grammars.guide(forced(dialect, *sorted(NAMES))), seed)
    ((name, arguments),) = calls(text, dialect)
    schema = next(f["parameters"] for f in FUNCTIONS if f["name"] == name)
    assert jsonschema_rs.is_valid(schema, arguments)


def test_a_named_function_is_the_only_one(runner: ModelRunner, grammars: GrammarCache) -> None:
    for seed in range(5):
        text, *_ = write(runner, grammars.guide(forced("hermes", "opening-hours")), seed)
        assert calls(text, "hermes")[0][0] == "opening-hours"


def test_without_the_mask_no_call_comes(runner: ModelRunner, grammars: GrammarCache) -> None:
    text, *_ = write(runner, grammars.guide(forced("hermes", "report")), 0, masked=False)
    assert text == ""


def test_parallel_calls_have_an_end(runner: ModelRunner, grammars: GrammarCache) -> None:
    guide = grammars.guide(forced("hermes", "opening-hours", parallel=True))
    text, *_ = write(runner, guide, 1)
    assert 1 <= len(calls(text.rsplit("<tool_call>", 1)[0] or text, "hermes")) <= MOST_CALLS


def test_the_finished_text_is_checked_by_another_library() -> None:
    made = ForcedCalls.decode(forced("hermes", "opening-hours").source)
    good = '<tool_call>\n{"name": "opening-hours", "arguments": {"day": "mon"}}\n</tool_call>'
    assert made.valid(good)
    for bad in (
        good.replace("mon", "sun"),
        good + "x",
        "",
        good.replace("opening-hours", "report"),
    ):
        assert not made.valid(bad)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "not": {}}, {"type": "object", "properties": {"a": {"type": "strange"}}},
        {"type": "object", "x-guidance": {"lenient": True}},
        {"$ref": "#/$defs/nothing"},
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_enforced_is_refused_by_name(
    grammars: GrammarCache, schema: dict[str, Any]
) -> None:
    functions = ({"name": "good", "parameters": DAY}, {"name": "bad", "parameters": schema})
    with pytest.raises(BadRequest) as caught:
        grammars.guide(forced("hermes", "good", "bad", functions=functions))
    assert (caught.value.code, caught.value.param) == ("invalid_schema", "tools")
    assert caught.value.message.startswith("Invalid schema for function 'bad': ")
    assert "response_format" not in caught.value.message


def test_a_recursive_schema_is_enforced(runner: ModelRunner, grammars: GrammarCache) -> None:
    following = {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}
    node = {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "next": following},
        "required": ["v", "next"],
        "additionalProperties": False,
    }
    functions = ({"name": "report", "parameters": {**node, "$defs": {"n": node}}},)
    text, *_ = write(runner, grammars.guide(forced("json", "report", functions=functions)), 3)
    assert text.startswith('{"name": "report", "parameters": {"v": ')


def test_a_tag_is_a_token_of_its_own_where_the_vocabulary_has_one(grammars: GrammarCache) -> None:
    grammars.guide(forced("hermes", "report"))
    assert grammars._marker("<|im_start|>") == "<|im_start|>"
    assert grammars._marker("<tool_call>") == '"<tool_call>"'


def either(dialect: Dialect, form: Constraint) -> Constraint:
    return ForcedCalls.constraint(Tools(FUNCTIONS, (), True), dialect, form)


ANSWER = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
FORMS = [
    (Constraint("json_schema", json.dumps(ANSWER)), r'\{"ok":(true|false)\}'),
    (Constraint("json_object"), r"\{.*\}"),
    (Constraint("choice", '["yes", "no"]'), "yes|no"),
    (Constraint("regex", "^[a-c]/{2}$"), "[a-c]//"),
    (Constraint("grammar", "signed"), r"\{[xy]"),
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["hermes", "json"])
@pytest.mark.parametrize(("form", "expression"), FORMS, ids=[form.kind for form, _ in FORMS])
def test_one_grammar_makes_calls_or_an_answer_in_the_form(
    runner: ModelRunner, dialect: Dialect, form: Constraint, expression: str
) -> None:
    signed = {"signed": Constraint("lark", 'start: "{" x\nx: "x" | "y"')}
    grammars = GrammarCache(runner.guidance_tokenizer, signed)
    constraint = either(dialect, form)
    begin = next(i for i in range(runner.n_vocab) if runner.piece(i) == b"<")
    for seed in range(6):
        guide = grammars.guide(constraint)
        called, text = dialect == "hermes" and seed % 2 == 0, ""
        if called:  # random logits rarely begin a call
            tokens = [begin, *(guide.accept(begin) or ())]
            text = b"".join(map(runner.piece, tokens)).decode()
        text += write(runner, guide, seed)[0]
        reply = ParsedReply(ReplyForm(dialect, NAMES, forced=True, either=True))
        pieces = [*reply.push(text), *reply.finish()]
        content = "".join(p.text for p in pieces if p.kind == "content")
        if called:
            assert reply.calls and not content
        elif not reply.calls and guide.stopped:
            assert re.fullmatch(expression, content, re.DOTALL), content
            assert content == text


def test_where_a_call_is_demanded_the_form_waits(grammars: GrammarCache) -> None:
    tools = Tools(FUNCTIONS, ("report",), False)
    form = Constraint("json_object")
    assert ForcedCalls.constraint(tools, "hermes", form).kind == "calls"


def test_an_unknown_grammar_and_a_bad_schema_are_refused_beside_functions_too(
    grammars: GrammarCache,
) -> None:
    for form, code in (
        (Constraint("grammar", "none"), "unknown_grammar"),
        (Constraint("json_schema", '{"not":{}}'), "invalid_schema"),
        (Constraint("choice", "[]"), "invalid_schema"),
    ):
        with pytest.raises(BadRequest) as caught:
            grammars.guide(either("hermes", form))
        assert caught.value.code == code


def test_each_of_the_two_is_checked_by_its_own_validator(grammars: GrammarCache) -> None:
    guide = grammars.guide(either("hermes", FORMS[0][0]))
    valid = guide._validator
    assert valid is not None
    assert valid('{"ok":true}') and not valid('{"ok":1}')
    call = '<tool_call>\n{"name": "opening-hours", "arguments": {"day": "%s"}}\n</tool_call>'
    assert valid(call % "mon") and not valid(call % "sun")
