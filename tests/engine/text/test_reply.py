"""Reading answers: calls and reasoning come out the same however the text arrives."""

import json
from typing import Any

import pytest

from appliance.engine.text.reply import Dialect, ParsedReply, Piece, ReplyForm

NAMES = frozenset({"weather", "time"})
HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
LLAMA = '{"name": "weather", "parameters": {"city": "Oslo"}}'
OSLO = '{"city": "Oslo"}'


def form(dialect: Dialect = "hermes", **fields: Any) -> ReplyForm:
    return ReplyForm(dialect, NAMES, **fields)


def joined(pieces: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if last and last.kind == piece.kind != "call" and last.call == piece.call:
            out[-1] = last._replace(text=last.text + piece.text)
        else:
            out.append(piece)
    return out


def read(form: ReplyForm, *texts: str) -> list[Piece]:
    reply = ParsedReply(form)
    pieces = [piece for text in texts for piece in reply.push(text)]
    return joined(pieces + reply.finish())


def call(arguments: str = OSLO, name: str = "weather", number: int = 0) -> list[Piece]:
    return [Piece("call", name, number), Piece("arguments", arguments, number)]


def content(text: str) -> Piece:
    return Piece("content", text)


def test_a_call_between_texts() -> None:
    got = read(form(), f"I look it up. \n{HERMES}\n Done.")
    assert got == [content("I look it up."), *call(), content("Done.")]


def test_several_calls_are_numbered_from_zero() -> None:
    second = HERMES.replace("weather", "time")
    assert read(form(), f"{HERMES}\n{second}") == [*call(), *call(name="time", number=1)]


@pytest.mark.parametrize(
    "text",
    [
        LLAMA, f" \n{LLAMA}\n", f"```json\n{LLAMA}\n```", f"```\n{LLAMA}\n```",
        f"```tool_code\n{LLAMA}```", f"[{LLAMA}]", LLAMA.replace("parameters", "arguments"),
    ],
)  # fmt: skip
def test_the_json_dialect(text: str) -> None:
    assert read(form("json"), text) == call()


@pytest.mark.parametrize("between", ["\n", "; ", ", ", ""])
def test_several_calls_in_the_json_dialect(between: str) -> None:
    second = LLAMA.replace("weather", "time")
    assert read(form("json"), LLAMA + between + second) == [*call(), *call(name="time", number=1)]


NO_CALLS = [
    HERMES.replace("weather", "rm"), HERMES.replace('{"city": "Oslo"}', '"Oslo"'),
    HERMES.replace("Oslo", "\\x"), HERMES.replace('"Oslo"', "NaN"), "<tool_call>\nweather\n",
    '<tool_call>{"name": "weather", "arguments": {"city": "Os', "<tool_call>", "<tool_ca",
    '<tool_call>{"name": "weather"}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>',
    "<tool_call>" + "[" * 5000, "<tool_call>" + '{"a":' * 5000 + "1" + "}" * 5000,
    '<tool_call>{"name": ["weather"], "arguments": {}}</tool_call>', "a < b", LLAMA,
    '<tool_call>{"name": "weather", "arguments": {"n": ' + "9" * 5000 + "}}</tool_call>",
    "  ", "\n\ntext\n\n", "<tool_call> {} </tool_call> x",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_no_call_stays_text_to_the_character(text: str) -> None:
    assert read(form(), text) == [content(text)]


@pytest.mark.parametrize(
    "text",
    [
        f"Sure: {LLAMA}", LLAMA.replace("weather", "rm"), '{"answer": 5}', '{"name": "weather"',
        "```python\nprint()\n```", "```json", "[1, 2]", HERMES, "{", "[", "`", "x",
    ],
)  # fmt: skip
def test_what_is_no_call_in_the_json_dialect_stays_text(text: str) -> None:
    assert read(form("json"), text) == [content(text)]


def test_without_functions_on_offer_nothing_is_a_call() -> None:
    assert read(form(""), f" {HERMES} ") == [content(f" {HERMES} ")]


def test_a_closing_tag_inside_an_argument_does_not_end_the_call() -> None:
    arguments = {"city": '</tool_call> "} \\'}
    inner = json.dumps({"name": "weather", "arguments": arguments})
    got = read(form(), f"<tool_call>{inner}</tool_call>")
    assert [json.loads(p.text) for p in got if p.kind == "arguments"] == [arguments]


def test_a_model_that_forgets_the_closing_tag_has_called_all_the_same() -> None:
    assert read(form(), HERMES.removesuffix("</tool_call>")) == call()
    assert read(form(), HERMES.removesuffix("call>")) == call()


def test_half_a_surrogate_pair_leaves_as_an_escape() -> None:
    got = read(form(), HERMES.replace("Oslo", "\\ud800"))
    assert got == call('{"city": "\\ud800"}')


def test_a_forced_call_leaves_as_it_comes() -> None:
    reply = ParsedReply(form(forced=True))
    assert reply.push('<tool_call>\n{"name": "weather", "arg') == []
    assert reply.push('uments": {"ci') == [
        Piece("call", "weather"), Piece("arguments", '{"ci'),
    ]  # fmt: skip
    assert reply.push('ty": "O') == [Piece("arguments", 'ty": "O')]
    assert reply.finish() == []  # cut off: what there is stays


@pytest.mark.parametrize(("dialect", "text"), [("hermes", f"{HERMES}\n{HERMES}"), ("json", LLAMA)])
def test_forced_and_free_reading_agree(dialect: Dialect, text: str) -> None:
    assert read(form(dialect, forced=True), text) == read(form(dialect), text)


THOUGHTS = [
    ("<think>\nHm.\n</think>\n\nYes.", "tags", [Piece("reasoning", "Hm."), content("Yes.")]),
    ("Hm.\n</think>\n\nYes.", "open", [Piece("reasoning", "Hm."), content("Yes.")]),
    ("\n<think></think>Yes.", "tags", [content("Yes.")]),
    ("Yes <think>.", "tags", [content("Yes <think>.")]),
    ("<think>Hm", "tags", [Piece("reasoning", "Hm")]),
    ("Hm </thin", "open", [Piece("reasoning", "Hm </thin")]),
    ("<thi", "tags", [content("<thi")]),
    ("<think>Hm.</think>\n" + HERMES, "tags", [Piece("reasoning", "Hm."), *call()]),
    ("<think>" + HERMES, "tags", [Piece("reasoning", HERMES)]),
    ("<think>a</think>", "", [content("<think>a</think>")]),
]


@pytest.mark.timeout(60)  # quadratic work takes minutes
@pytest.mark.parametrize(
    "unit", ["<tool_call>", "<tool_call>{", "<", " ", '{"a":', "<tool_call>{}"]
)
@pytest.mark.parametrize("dialect", ["hermes", "json"])
def test_a_long_hostile_answer_comes_back_whole(unit: str, dialect: Dialect) -> None:
    assert read(form(dialect), *[unit] * 20_000) == [content(unit * 20_000)]
