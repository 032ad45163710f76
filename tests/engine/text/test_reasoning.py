"""Reasoning and answer are told apart wherever the text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text.reasoning import BEGIN, END, Reasoning, Thinking


def read(thinking: Thinking, *texts: str) -> tuple[str, str]:
    reader = Reasoning(thinking)
    pieces = [*(reader.push(text) for text in texts), reader.finish()]
    return "".join(p[0] for p in pieces), "".join(p[1] for p in pieces)


@pytest.mark.parametrize(
    ("thinking", "text", "reasoning", "answer"),
    [
        ("tags", f"{BEGIN}\nWhy?\n{END}\n\nSo.", "Why?", "So."),
        ("tags", f"\n {BEGIN}Why?{END}So.", "Why?", "So."),
        ("tags", "So.", "", "So."),
        ("tags", f"So. {BEGIN}x{END}", "", f"So. {BEGIN}x{END}"),
        ("tags", "<thin", "", "<thin"),
        ("tags", f"{BEGIN}cut off", "cut off", ""),
        ("tags", f"{BEGIN}{END}So.", "", "So."),
        ("open", f"Why?{END}So.", "Why?", "So."),
        ("open", f"a</thin b{END}So.{END}", "a</thin b", f"So.{END}"),
        ("", f"{BEGIN}x{END}So.", "", f"{BEGIN}x{END}So."),
        ("", "  So.", "", "  So."),
    ],
)
def test_a_whole_answer(thinking: Thinking, text: str, reasoning: str, answer: str) -> None:
    assert read(thinking, text) == (reasoning, answer)
    assert read(thinking, *text) == (reasoning, answer)


PARTS = st.lists(st.sampled_from([BEGIN, END, "<th", "ink>", "</", " ", "\n", "a", "é<"]))


@given(PARTS, st.sampled_from(["", "tags", "open"]), st.data())
def test_cuts_change_nothing(parts: list[str], thinking: Thinking, data: st.DataObject) -> None:
    text = "".join(parts)
    cut = data.draw(st.integers(0, len(text)))
    assert read(thinking, text[:cut], text[cut:]) == read(thinking, text) == read(thinking, *text)


@given(PARTS)
def test_a_model_that_does_not_think_is_passed_on(parts: list[str]) -> None:
    assert read("", *parts) == ("", "".join(parts))
