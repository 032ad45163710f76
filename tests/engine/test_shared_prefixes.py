"""Registered beginnings: a prompt has the whole of one or shares nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.shared_prefixes import Registered
from tests.engine.test_prepare import Letters, ask, preparer

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
SYSTEM = "You are a clerk."


def tokens(**prompt: Any) -> list[int]:
    return preparer(Letters(), source=CHAT).tokens(ask(**prompt))


def chat(*messages: tuple[str, str]) -> list[int]:
    return tokens(messages=tuple({"role": role, "content": text} for role, text in messages))


def registered(*texts: str) -> Registered:
    return Registered(preparer(Letters(), source=CHAT), texts)


def test_a_chat_with_the_system_message_has_what_comes_before_the_question() -> None:
    prompt = chat(("system", SYSTEM), ("user", "Who?"))
    shared = registered(SYSTEM).shared(prompt)
    before = chat(("system", SYSTEM), ("user", ""))
    # The last token before the question may merge with it.
    assert shared == len(before) - 1 and prompt[:shared] == before[:shared]


def test_a_plain_prompt_that_begins_with_the_text_has_it_but_for_the_last_token() -> None:
    assert registered(SYSTEM).shared(tokens(prompt=SYSTEM + " Go.")) == len(SYSTEM)


def test_a_task_shares_its_leading_messages_whatever_the_input_is() -> None:
    turns = [("system", SYSTEM), ("user", "one"), ("assistant", "1")]
    task = [{"role": role, "content": text} for role, text in turns]
    known = registered()
    prompt = chat(*turns, ("user", "two"))
    before = chat(*turns, ("user", ""))
    for _ in range(2):  # the second time from what is kept
        assert known.shared(prompt, task) == len(before) - 1
    assert known.shared(prompt) == 0  # an app's own conversation that begins alike
    other = chat(*turns[:2], ("assistant", "9"), ("user", "two"))
    assert known.shared(other, task) == 0
    assert known.shared(prompt, [{"role": "user", "content": "x" * 10_000}]) == 0
    assert registered(SYSTEM).shared(prompt, task) == len(before) - 1  # the longer of both


def test_a_part_of_a_beginning_tells_nothing() -> None:
    known = registered(SYSTEM)
    assert known.shared(tokens(prompt=SYSTEM[:-2])) == 0
    assert known.shared(chat(("system", SYSTEM[:-3] + "xyz"), ("user", "Who?"))) == 0
    assert known.shared(chat(("user", "Who?"))) == 0


def test_the_longest_whole_beginning_counts() -> None:
    prompt = tokens(prompt=SYSTEM + " Be brief. Go.")
    longer = len(SYSTEM + " Be brief.")
    assert registered(SYSTEM, SYSTEM + " Be brief.").shared(prompt) == longer
    assert registered(SYSTEM + " Be brief.", SYSTEM).shared(prompt) == longer
    assert registered(SYSTEM, SYSTEM + " Be long.").shared(prompt) == len(SYSTEM)


def test_what_is_too_long_or_nothing_is_left_out() -> None:
    assert registered("x" * 101).shared(tokens(prompt="x" * 100)) == 0
    assert registered("x" * 100).shared(tokens(prompt="x" * 100)) == 100
    assert registered("").shared(tokens(prompt="x")) == 0
    assert registered().shared([1, 2]) == 0


@given(st.lists(st.text("ab", max_size=6), max_size=3), st.text("ab", min_size=1, max_size=9))
def test_what_is_shared_is_a_beginning_of_the_prompt(texts: list[str], prompt: str) -> None:
    shared = registered(*texts).shared(tokens(prompt=prompt))
    wanted = {0, *(len(t) for t in texts if t and prompt.startswith(t[:-1]))}
    assert shared == max(wanted)
