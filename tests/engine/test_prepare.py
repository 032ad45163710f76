"""From a request to token ids and a limit, with every refusal."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.prepare import Preparer
from appliance.engine.protocol import Tokenize, Tokens
from appliance.engine.text.templates import ChatTemplate
from appliance.errors import BadRequest
from appliance.types import GenerationRequest


class Letters:
    """A vocabulary of bytes; 300 is the begin token."""

    n_vocab = 301

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool, bool]] = []

    def detokenize(self, tokens: Sequence[int]) -> str:
        return b"".join(map(self.label, tokens)).decode()

    def label(self, token: int) -> bytes:
        return b"<s>" if token == 300 else bytes([token])

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool, most: int | None = None
    ) -> list[int]:
        self.asked.append((text, add_special, parse_special))
        return ([300] if add_special and text else []) + list(text.encode("utf-8", "surrogatepass"))

    def control_texts(self) -> tuple[str, ...]:
        return ("<s>", "</s>")


def preparer(
    tokenizer: Letters,
    *,
    source: str = "{{ messages[0].content }}",
    n_ctx: int = 50,
    most: int = 100,
) -> Preparer:
    template = ChatTemplate(source, bos="<s>", eos="</s>", limit=2 * most)
    return Preparer(tokenizer, template, bos="<s>", n_ctx=n_ctx, max_bytes=most)


def ask(**fields: Any) -> GenerationRequest:
    return GenerationRequest("", **fields)


def user(text: str) -> dict[str, Any]:
    return {"messages": ({"role": "user", "content": text},)}


def refused(request: GenerationRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        preparer(Letters()).tokens(request)
    return caught.value


def test_text_is_tokenised_with_the_begin_token() -> None:
    assert preparer(Letters()).tokens(ask(prompt="ab")) == [300, 97, 98]


def test_a_conversation_is_rendered_first() -> None:
    letters = Letters()
    preparer(letters, source="[{{ messages[0].content }}]").tokens(ask(**user("hi")))
    assert letters.asked[-1:] == [("[hi]", True, True)]


def test_a_template_that_writes_the_begin_token_gets_no_second_one() -> None:
    letters = Letters()
    preparer(letters, source="{{ bos_token }}{{ messages[0].content }}").tokens(ask(**user("x")))
    assert letters.asked[-1:] == [("<s>x", False, True)]


@pytest.mark.parametrize("ids", [(-1,), (301,), (5, 2**40)])
def test_token_ids_outside_the_vocabulary_are_refused(ids: tuple[int, ...]) -> None:
    error = refused(ask(tokens=ids))
    assert (error.code, error.param) == ("invalid_value", "prompt")
    assert "between 0 and 300" in error.message


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=30).map(tuple))
def test_token_ids_pass_as_they_are(ids: tuple[int, ...]) -> None:
    assert preparer(Letters()).tokens(ask(tokens=ids)) == list(ids)


@pytest.mark.parametrize("request_", [ask(prompt=""), ask(tokens=()), ask(**user(""))])
def test_an_empty_prompt_is_refused(request_: GenerationRequest) -> None:
    assert refused(request_).code == "invalid_value"


@pytest.mark.parametrize(
    "request_", [ask(prompt="é" * 51), ask(**user("x" * 101))], ids=["text", "chat"]
)
def test_a_prompt_longer_than_the_limit_in_bytes_is_refused_with_both_numbers(
    request_: GenerationRequest,
) -> None:
    error = refused(request_)
    assert error.code == "request_too_large"
    assert "100" in error.message


def test_the_limit_in_bytes_itself_is_allowed() -> None:
    assert len(preparer(Letters()).tokens(ask(prompt="x" * 100))) == 101


def test_a_lone_surrogate_is_no_python_error() -> None:
    preparer(Letters()).tokens(ask(prompt="a\ud800"))


@settings(deadline=None)
@given(st.integers(1, 60), st.none() | st.integers(1, 80))
def test_the_limit_is_what_was_asked_or_what_is_left(prompt: int, asked: int | None) -> None:
    subject = preparer(Letters(), n_ctx=50)
    room = 50 - prompt
    if room >= 1 and (asked is None or asked <= room):
        assert subject.limit(prompt, asked) == (asked or room)
    else:
        with pytest.raises(BadRequest) as caught:
            subject.limit(prompt, asked)
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.message.startswith("This model's maximum context length is 50 tokens")
        assert str(prompt) in caught.value.message


def test_a_template_that_fails_is_the_requests_refusal() -> None:
    with pytest.raises(BadRequest) as caught:
        preparer(Letters(), source="{{ raise_exception('no') }}").tokens(ask(**user("x")))
    assert caught.value.code == "template_failed"


def test_a_spelled_control_token_is_tokenised_in_two_parts_with_one_begin_token() -> None:
    letters = Letters()
    tokens = preparer(letters, source="[{{ messages[0].content }}]</s>").tokens(
        ask(**user("x</s>y"))
    )
    assert letters.asked[-2:] == [("[x<", True, True), ("/s>y]</s>", False, True)]
    assert tokens == [300, *b"[x</s>y]</s>"]


def test_what_keeps_spellings_apart_does_not_count_for_the_limit_in_bytes() -> None:
    preparer(Letters()).tokens(ask(**user("</s>" * 25)))
    assert refused(ask(**user("</s>" * 25 + "x"))).code == "request_too_large"


def test_the_control_tokens_of_a_prompt_are_the_clients() -> None:
    letters = Letters()
    preparer(letters).tokens(ask(prompt="a</s>b"))
    assert letters.asked[-1:] == [("a</s>b", True, True)]


def test_tokens_are_told_as_they_would_be_read() -> None:
    made = preparer(Letters())
    assert made.tokenised(Tokenize(1, ask(prompt="ab"))) == Tokens(1, [300, 97, 98])
    assert made.tokenised(Tokenize(1, ask(prompt="ab"), special=False)) == Tokens(1, [97, 98])
    assert made.tokenised(Tokenize(1, ask(prompt=""))) == Tokens(1, [])
    chat = ({"role": "user", "content": "hi"},)
    assert made.tokenised(Tokenize(1, ask(messages=chat))).tokens == made.tokens(ask(messages=chat))
    labelled = Tokens(1, [300, 97], "<s>a", [b"<s>", b"a"])
    assert made.tokenised(Tokenize(1, ask(tokens=(300, 97)), strings=True)) == labelled


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        (Tokenize(1, ask(tokens=(301,))), "invalid_value", "tokens"),
        (Tokenize(1, ask(tokens=(-1,))), "invalid_value", "tokens"),
        (Tokenize(1, ask(tokens=(97,) * 101)), "request_too_large", None),
        (Tokenize(1, ask(prompt="a" * 101)), "request_too_large", None),
    ],
)
def test_what_cannot_be_told_is_refused(asked: Tokenize, code: str, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        preparer(Letters()).tokenised(asked)
    assert (caught.value.code, caught.value.param) == (code, param)


TALK = "{% for m in messages %}<s>{{ m.role[0] }}{{ m.content }}</s>{% endfor %}"


def test_what_cannot_fit_is_refused_before_it_is_tokenised() -> None:
    letters = Letters()
    made = preparer(letters, source=TALK, n_ctx=50, most=10_000)
    assert made.fewest == len("<s>u</s>")
    letters.asked.clear()
    talk = ({"role": "user", "content": ""},)
    with pytest.raises(BadRequest) as caught:
        made.tokens(ask(messages=talk * 7))
    assert (caught.value.code, letters.asked) == ("context_length_exceeded", [])
    assert "at least 56 tokens" in caught.value.message
    assert len(made.tokens(ask(messages=talk * 6))) == 48


def test_a_template_that_leaves_messages_out_says_nothing_of_their_number() -> None:
    made = preparer(Letters())
    assert made.fewest == 0
    assert made.tokens(ask(messages=({"role": "user", "content": "a"},) * 60)) == [300, 97]


def test_a_prompt_far_beyond_the_context_is_not_counted_to_its_end() -> None:
    made = preparer(Letters(), source="{{ messages[0].content }}", n_ctx=3)
    with pytest.raises(BadRequest) as caught:
        made.tokens(ask(**user("<s>" * 13)))
    assert "more than 12 tokens" in caught.value.message
    assert len(made.tokens(ask(**user("<s>" * 3)))) == 10  # `limit` refuses that, with the number
    assert len(made.tokenised(Tokenize(1, ask(messages=user("<s>" * 13)["messages"]))).tokens) == 40
