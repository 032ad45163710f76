"""Functions, calls and results in the words of each model family, on templates of the field."""

from pathlib import Path
from typing import Any

import pytest

from appliance.engine.text.reply import ParsedReply, ReplyForm
from appliance.engine.text.templates import CHATML, ChatTemplate
from appliance.errors import BadRequest
from appliance.types import Tools

TEMPLATES = Path(__file__).parents[2] / "assets" / "templates"
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOLS = Tools((WEATHER,))
CALL = {"id": "c1", "type": "function"}
TALK: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "Is it cold in Oslo?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "minus 5"},
)
FAMILIES = ["qwen2.5", "qwen3", "llama3", "gemma", "chatml"]


def template(family: str) -> ChatTemplate:
    source = CHATML if family == "chatml" else (TEMPLATES / f"{family}.jinja").read_text()
    return ChatTemplate(source, bos="<bos>", eos="<eos>", limit=20_000)


@pytest.mark.parametrize(
    ("family", "dialect"),
    [("qwen2.5", "hermes"), ("qwen3", "hermes"), ("llama3", "json"), ("gemma", "json"),
     ("chatml", "hermes")],
)  # fmt: skip
def test_the_dialect_is_found_by_trying(family: str, dialect: str) -> None:
    assert template(family).dialect == dialect


@pytest.mark.parametrize("family", FAMILIES)
def test_functions_calls_and_results_are_shown_once(family: str) -> None:
    text = template(family).render(TALK, TOOLS)
    assert text.count("The weather of a city") == 1
    assert text.count("minus 5") == 1
    assert text.count('"Oslo"') == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_writes_as_its_history_shows_is_understood(family: str) -> None:
    made = template(family)
    before, after = made.render(TALK[:1], TOOLS), made.render(TALK[:2], TOOLS)
    said = after[len(before) :]
    for mark in ("<|im_end|>", "<|eot_id|>", "<end_of_turn>"):
        said = said.partition(mark)[0]
    form = ReplyForm(made.dialect, frozenset({"weather"}), thinking=made.thinking(before))
    reply = ParsedReply(form)
    pieces = [(p.kind, p.text) for p in [*reply.push(said), *reply.finish()]]
    assert pieces == [("call", "weather"), ("arguments", '{"city": "Oslo"}')]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_functions_the_prompt_is_what_it_was(family: str) -> None:
    made = template(family)
    assert "weather" not in made.render(TALK[:1])
    assert made.render(TALK[:1], None) == made.render(TALK[:1])


@pytest.mark.parametrize("family", ["gemma", "chatml"])
def test_turns_alternate_when_results_become_text(family: str) -> None:
    second = {"role": "tool", "tool_call_id": "c2", "content": "plus 7"}
    question = {"role": "user", "content": "And now?"}
    text = template(family).render((*TALK, second, question), TOOLS)
    last = text[text.index("minus 5") :]
    assert "plus 7" in last and "And now?" in last
    assert "assistant\n" not in last.removesuffix("assistant\n")


def test_two_questions_in_a_row_are_left_alone() -> None:
    twice = ({"role": "user", "content": "a"}, {"role": "user", "content": "b"})
    assert template("chatml").render(twice, TOOLS).count("<|im_start|>user") == 2


def test_a_system_message_keeps_its_place_before_the_functions() -> None:
    talk = ({"role": "system", "content": "Be brief."}, *TALK)
    text = template("chatml").render(talk, TOOLS)
    assert text.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    assert text.count("<|im_start|>system") == 1


def test_a_template_without_a_system_role_gets_the_functions_in_the_first_question() -> None:
    text = template("gemma").render(TALK[:1], TOOLS)
    assert text.startswith("<bos><start_of_turn>user\nYou have access to functions.")
    with pytest.raises(BadRequest):
        template("gemma").render(({"role": "system", "content": "x"}, *TALK[:1]))


def test_what_the_template_refuses_is_told_in_its_words() -> None:
    two = ({**TALK[1], "tool_calls": TALK[1]["tool_calls"] * 2},)
    with pytest.raises(BadRequest, match="single tool-calls") as caught:
        template("llama3").render((TALK[0], *two), TOOLS)
    assert caught.value.code == "template_failed"


def test_a_history_of_calls_needs_no_functions_on_offer() -> None:
    assert "minus 5" in template("chatml").render(TALK)
    assert "minus 5" in template("qwen3").render(TALK)


def test_the_messages_of_the_caller_are_not_changed() -> None:
    talk = tuple(dict(message) for message in TALK)
    template("gemma").render((*talk, {"role": "user", "content": "x"}), TOOLS)
    assert talk == TALK


# reasoning

FORCED_THOUGHTS = CHATML + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"


def test_reasoning_is_off_when_asked_for() -> None:
    made = template("qwen3")
    assert made.thinking(made.render(TALK[:1])) == "tags"
    off = made.render(TALK[:1], None, False)
    assert off.endswith("<think>\n\n</think>\n\n") and made.thinking(off) == ""
    assert template("qwen2.5").thinking(template("qwen2.5").render(TALK[:1])) == ""


def test_a_template_that_always_thinks_is_closed_when_asked_for() -> None:
    made = ChatTemplate(FORCED_THOUGHTS, bos="", eos="", limit=1000)
    assert made.thinking(made.render(TALK[:1])) == "open"
    off = made.render(TALK[:1], None, False)
    assert off.endswith("<think>\n\n\n</think>\n\n") and made.thinking(off) == ""


def test_the_frame_for_training_is_read_over() -> None:
    made = ChatTemplate("a{% generation %}b{% endgeneration %}c", bos="", eos="", limit=100)
    assert made.render(TALK[:1]) == "abc"
